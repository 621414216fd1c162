#include "library/gguf.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "library/bad_input.hpp"
#include "library/cursor.hpp"
#include "library/shards.hpp"
#include "library/tensor_table.hpp"
#include "library/utf8.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

constexpr std::size_t header_bytes = 24;
constexpr std::uint64_t default_alignment = 32;

double as_double(const Value& value) {
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return double(*whole);
    if (const auto* real = std::get_if<double>(&value)) return *real;
    return std::get<bool>(value) ? 1 : 0;
}

void check_header(std::span<const std::uint8_t> file) {
    const std::string_view magic(reinterpret_cast<const char*>(file.data()),
                                 std::min<std::size_t>(4, file.size()));
    if (magic != std::string_view("GGUF").substr(0, magic.size())) {
        throw BadInput("is not a GGUF file: it begins with " + quoted(magic) + " instead of 'GGUF'");
    }
    if (file.size() < header_bytes) {
        throw BadInput("the header needs 24 bytes but the file has " + std::to_string(file.size()) +
                       "; download it again");
    }
    const auto version = load<std::uint32_t>(file.data() + 4);
    if (version == 2 || version == 3) return;
    if (version == 2u << 24 || version == 3u << 24) {
        throw BadInput("is a big-endian GGUF file; convert it to little-endian with gguf-convert-endian");
    }
    throw BadInput("is GGUF version " + std::to_string(version) +
                   "; versions 2 and 3 can be read, so convert the model again");
}

std::uint64_t alignment_of(const Metadata& metadata) {
    const auto found = metadata.find("general.alignment");
    if (found == metadata.end()) return default_alignment;
    const Value* value = &found->second;
    const auto* alignment = std::get_if<std::int64_t>(value);
    if (alignment == nullptr || *alignment < 1) {
        throw BadInput("metadata key general.alignment is " + value_text(*value) +
                       ", not a positive whole number; convert the model again");
    }
    return std::uint64_t(*alignment);
}

// What one file holds: a model, or a shard of one.
struct Contents {
    Metadata metadata;
    Tensors tensors;
};

Contents contents_of(std::span<const std::uint8_t> file) {
    check_header(file);
    Cursor cursor(file);
    cursor.take(8);
    const auto tensors = cursor.number<std::uint64_t>(), values = cursor.number<std::uint64_t>();
    Metadata metadata;
    for (std::uint64_t i = 0; i < values; ++i) {
        std::string key = with_replacements(cursor.string());
        if (metadata.contains(key)) {
            throw BadInput("metadata key " + key + " occurs twice; download it again or convert it again");
        }
        metadata.emplace(std::move(key), cursor.value());
    }
    const std::uint64_t alignment = alignment_of(metadata);
    return {std::move(metadata), read_tensors(cursor, tensors, file, alignment)};
}

// Opens one more file, which is the shard of this number.
Contents shard_in(std::deque<MappedFile>& shards, const std::string& path, std::int64_t number) {
    try {
        Contents shard = contents_of(shards.emplace_back(path).bytes());
        require_number(shard.metadata, number);
        return shard;
    } catch (const BadInput& error) {
        throw BadInput("its shard " + base_name(path) + ": " + error.what());
    }
}

}  // namespace

std::vector<std::string> Array::strings() const {
    std::vector<std::string> strings;
    if (item != ValueType::string) return strings;
    strings.reserve(std::size_t(count));
    Cursor cursor(bytes);
    for (std::uint64_t i = 0; i < count; ++i) strings.push_back(with_replacements(cursor.string()));
    return strings;
}

std::vector<double> Array::numbers() const {
    std::vector<double> numbers;
    const std::size_t width = number_bytes(item);
    if (width == 0) return numbers;
    numbers.reserve(std::size_t(count));
    for (std::size_t i = 0; i < count; ++i) {
        numbers.push_back(as_double(number_at(bytes.data() + i * width, item)));
    }
    return numbers;
}

std::uint64_t Tensor::rows() const { return elements_of({shape.begin(), shape.end() - 1}); }

GgufFile::GgufFile(const std::string& path) {
    Contents first = contents_of(shards_.emplace_back(path).bytes());
    metadata_ = std::move(first.metadata);
    tensors_ = std::move(first.tensors);
    std::int64_t number = 0;
    for (const std::string& other : other_shards(path, metadata_)) {
        Contents shard = shard_in(shards_, other, ++number);
        tensors_.merge(shard.tensors);
        if (!shard.tensors.empty()) {
            throw BadInput("tensor " + shard.tensors.begin()->first +
                           " is in two shards; download them again");
        }
    }
    std::erase_if(metadata_, [](const auto& field) { return is_of_shards(field.first); });
}

std::size_t GgufFile::size() const {
    std::size_t bytes = 0;
    for (const MappedFile& shard : shards_) bytes += shard.bytes().size();
    return bytes;
}

std::size_t GgufFile::repacked_bytes() const {
    std::size_t bytes = 0;
    for (const auto& [name, tensor] : tensors_) bytes += tensor.repacked ? tensor.repacked->size() : 0;
    return bytes;
}

const Value* GgufFile::find(std::string_view key) const {
    const auto found = metadata_.find(key);
    return found == metadata_.end() ? nullptr : &found->second;
}

std::optional<std::int64_t> GgufFile::integer(std::string_view key) const {
    return integer_in(metadata_, key);
}

bool GgufFile::truth(std::string_view key, bool otherwise) const {
    const Value* value = find(key);
    if (value == nullptr) return otherwise;
    if (const auto* text = std::get_if<std::string>(value)) return !text->empty();
    if (const auto* array = std::get_if<Array>(value)) return array->count != 0;
    return as_double(*value) != 0;
}

const std::string* GgufFile::text(std::string_view key) const {
    const Value* value = find(key);
    return value == nullptr ? nullptr : std::get_if<std::string>(value);
}

const Array* GgufFile::array(std::string_view key) const {
    const Value* value = find(key);
    return value == nullptr ? nullptr : std::get_if<Array>(value);
}

std::optional<std::int64_t> integer_in(const Metadata& metadata, std::string_view key) {
    const auto found = metadata.find(key);
    const auto* number = found == metadata.end() ? nullptr : std::get_if<std::int64_t>(&found->second);
    return number == nullptr ? std::nullopt : std::optional(*number);
}

std::string value_text(const Value& value) {
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return std::to_string(*whole);
    if (const auto* text = std::get_if<std::string>(&value)) return quoted(*text);
    if (const auto* array = std::get_if<Array>(&value)) return "an array of " + with_commas(array->count);
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.9g", std::get<double>(value));
    return digits;
}

}  // namespace bitnet::library
