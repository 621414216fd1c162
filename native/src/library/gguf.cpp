#include "library/gguf.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "library/bad_input.hpp"
#include "library/utf8.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

constexpr std::size_t header_bytes = 24;
constexpr std::uint64_t default_alignment = 32;
constexpr std::uint32_t most_axes = 4;  // GGML_MAX_DIMS

template <typename T>
T load(const std::uint8_t* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// Bytes of a number; 0 for what is none.
std::size_t number_bytes(ValueType type) {
    switch (type) {
        case ValueType::u8:
        case ValueType::i8:
        case ValueType::boolean:
            return 1;
        case ValueType::u16:
        case ValueType::i16:
            return 2;
        case ValueType::u32:
        case ValueType::i32:
        case ValueType::f32:
            return 4;
        case ValueType::u64:
        case ValueType::i64:
        case ValueType::f64:
            return 8;
        case ValueType::string:
        case ValueType::array:
            break;
    }
    return 0;
}

Value number_at(const std::uint8_t* at, ValueType type) {
    switch (type) {
        case ValueType::u8:
            return std::int64_t(*at);
        case ValueType::i8:
            return std::int64_t(load<std::int8_t>(at));
        case ValueType::u16:
            return std::int64_t(load<std::uint16_t>(at));
        case ValueType::i16:
            return std::int64_t(load<std::int16_t>(at));
        case ValueType::u32:
            return std::int64_t(load<std::uint32_t>(at));
        case ValueType::i32:
            return std::int64_t(load<std::int32_t>(at));
        case ValueType::f32:
            return double(load<float>(at));
        case ValueType::boolean:
            return *at != 0;
        case ValueType::i64:
            return load<std::int64_t>(at);
        case ValueType::f64:
            return load<double>(at);
        case ValueType::u64: {
            const auto value = load<std::uint64_t>(at);
            if (value <= std::uint64_t(std::numeric_limits<std::int64_t>::max())) return std::int64_t(value);
            return double(value);
        }
        case ValueType::string:
        case ValueType::array:
            break;
    }
    return std::int64_t(0);  // never: callers ask number_bytes first
}

double as_double(const Value& value) {
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return double(*whole);
    if (const auto* real = std::get_if<double>(&value)) return *real;
    return std::get<bool>(value) ? 1 : 0;
}

// Walks over the header and never beyond the end of the file.
class Cursor {
public:
    explicit Cursor(std::span<const std::uint8_t> file) : file_(file) {}

    std::size_t position() const { return at_; }

    std::span<const std::uint8_t> take(std::uint64_t bytes) {
        if (bytes > file_.size() - at_) {
            throw BadInput("the header needs " + with_commas(at_ + bytes) + " bytes but the file has " +
                           with_commas(file_.size()) + "; download it again");
        }
        const auto taken = file_.subspan(at_, std::size_t(bytes));
        at_ += std::size_t(bytes);
        return taken;
    }

    template <typename T>
    T number() {
        return load<T>(take(sizeof(T)).data());
    }

    std::string_view string() {
        const auto length = number<std::uint64_t>();
        const auto bytes = take(length);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    ValueType value_type() {
        const std::size_t start = at_;
        const auto type = number<std::uint32_t>();
        if (type > std::uint32_t(ValueType::f64)) {
            throw BadInput("the header has a value of type " + std::to_string(type) + " at byte " +
                           with_commas(start) + "; download it again");
        }
        return ValueType(type);
    }

    Value value() {
        const ValueType type = value_type();
        if (type == ValueType::string) return with_replacements(string());
        if (type == ValueType::array) return array();
        return number_at(take(number_bytes(type)).data(), type);
    }

private:
    Array array() {
        const ValueType item = value_type();
        const auto count = number<std::uint64_t>();
        const std::size_t start = at_;
        if (item == ValueType::array) {
            throw BadInput("the header has an array of arrays at byte " + with_commas(start) +
                           "; download it again");
        }
        if (item == ValueType::string) {
            for (std::uint64_t i = 0; i < count; ++i) string();
        } else if (count > file_.size()) {
            throw BadInput("the header ends inside an array of " + with_commas(count) +
                           " numbers; download it again");
        } else {
            take(count * number_bytes(item));
        }
        return {item, count, file_.subspan(start, at_ - start)};
    }

    std::span<const std::uint8_t> file_;
    std::size_t at_ = 0;
};

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

// An entry of the table of tensors.
struct Info {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::uint32_t type;
    std::uint64_t offset;
};

Info read_info(Cursor& cursor) {
    Info info{with_replacements(cursor.string()), {}, 0, 0};
    const auto axes = cursor.number<std::uint32_t>();
    if (axes == 0 || axes > most_axes) {
        throw BadInput("tensor " + info.name + " has " + std::to_string(axes) + " axes; download it again");
    }
    for (std::uint32_t i = 0; i < axes; ++i) {
        info.shape.insert(info.shape.begin(), cursor.number<std::uint64_t>());
    }
    info.type = cursor.number<std::uint32_t>();
    info.offset = cursor.number<std::uint64_t>();
    return info;
}

const FormatRow& format_of_type(const Info& info) {
    std::vector<std::string> known;
    for (const FormatRow& row : format_rows()) {
        if (row.ggml_type == info.type) return row;
        known.emplace_back(row.name);
    }
    throw BadInput("tensor " + info.name + " has the type " + std::to_string(info.type) +
                   ", for which libbitnet has no kernels; it has them for " + joined(known));
}

// Elements of a shape that no address can hold are as many as a uint64 has.
std::uint64_t product(const std::vector<std::uint64_t>& shape) {
    std::uint64_t elements = 1;
    for (const std::uint64_t axis : shape) {
        if (__builtin_mul_overflow(elements, axis, &elements))
            return std::numeric_limits<std::uint64_t>::max();
    }
    return elements;
}

// Throws if a tensor reaches into the next one.  offsets are those of all tensors, in order.
void require_room(const Info& info, const FormatRow& row, std::uint64_t bytes,
                  const std::vector<std::uint64_t>& offsets) {
    const auto next = std::ranges::upper_bound(offsets, info.offset);
    if (next == offsets.end() || bytes <= *next - info.offset) return;
    throw BadInput("tensor " + info.name + " would take " + with_commas(bytes) + " bytes in " +
                   std::string(row.name) + " and has " + with_commas(*next - info.offset) +
                   (row.format == Format::q2_0
                        ? ": blocks of 128 weights are not read here; `bitparity quantize` "
                          "writes them in blocks of 64"
                        : "; download it again"));
}

Tensor tensor_of(const Info& info, const std::vector<std::uint64_t>& offsets,
                 std::span<const std::uint8_t> file, std::uint64_t data_start, std::uint64_t alignment) {
    const FormatRow& row = format_of_type(info);
    const std::uint64_t elements = product(info.shape);
    if (elements == 0 || elements > file.size() * 16) {
        throw BadInput("tensor " + info.name + " has the shape " + shape_text(info.shape) +
                       ", which the file has no room for; download it again");
    }
    const std::uint64_t start = data_start + info.offset;
    if (info.offset > file.size() || start >= file.size() || start % alignment != 0) {
        throw BadInput("tensor " + info.name + " begins at byte " + with_commas(start) +
                       ", which is not in the file's " + with_commas(file.size()) +
                       " bytes or no multiple of " + std::to_string(alignment) + "; download it again");
    }
    if (info.shape.back() % std::uint64_t(row.block) != 0) {
        throw BadInput("tensor " + info.name + " " + std::string(row.name) + ": " +
                       std::to_string(info.shape.back()) + " columns is not a multiple of its block of " +
                       std::to_string(row.block) + " weights");
    }
    const std::uint64_t bytes = elements / std::uint64_t(row.block) * std::uint64_t(row.block_bytes) +
                                (row.has_one_scale ? sizeof(float) : 0);
    if (bytes > file.size() - start) {
        throw BadInput("tensor " + info.name + " ends at byte " + with_commas(start + bytes) +
                       " but the file has " + with_commas(file.size()) + "; download it again");
    }
    require_room(info, row, bytes, offsets);
    return {info.name, info.shape, row.format, file.subspan(std::size_t(start), std::size_t(bytes))};
}

std::uint64_t alignment_of(const GgufFile& file) {
    const Value* value = file.find("general.alignment");
    if (value == nullptr) return default_alignment;
    const auto* alignment = std::get_if<std::int64_t>(value);
    if (alignment == nullptr || *alignment < 1) {
        throw BadInput("metadata key general.alignment is " + value_text(*value) +
                       ", not a positive whole number; convert the model again");
    }
    return std::uint64_t(*alignment);
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

std::uint64_t Tensor::rows() const { return product({shape.begin(), shape.end() - 1}); }

GgufFile::GgufFile(const std::string& path) : file_(path) {
    const auto file = file_.bytes();
    check_header(file);
    Cursor cursor(file);
    cursor.take(8);
    const auto tensors = cursor.number<std::uint64_t>(), values = cursor.number<std::uint64_t>();
    for (std::uint64_t i = 0; i < values; ++i) {
        std::string key = with_replacements(cursor.string());
        if (metadata_.contains(key)) {
            throw BadInput("metadata key " + key + " occurs twice; download it again or convert it again");
        }
        metadata_.emplace(std::move(key), cursor.value());
    }
    std::vector<Info> infos;
    for (std::uint64_t i = 0; i < tensors; ++i) infos.push_back(read_info(cursor));
    const std::uint64_t alignment = alignment_of(*this);
    const std::uint64_t data_start = (cursor.position() + alignment - 1) / alignment * alignment;
    std::vector<std::uint64_t> offsets;
    for (const Info& info : infos) offsets.push_back(info.offset);
    std::ranges::sort(offsets);
    for (const Info& info : infos) {
        if (tensors_.contains(info.name)) {
            throw BadInput("tensor " + info.name + " occurs twice; convert it again");
        }
        tensors_.emplace(info.name, tensor_of(info, offsets, file, data_start, alignment));
    }
}

const Value* GgufFile::find(std::string_view key) const {
    const auto found = metadata_.find(key);
    return found == metadata_.end() ? nullptr : &found->second;
}

std::optional<std::int64_t> GgufFile::integer(std::string_view key) const {
    const Value* value = find(key);
    const auto* number = value == nullptr ? nullptr : std::get_if<std::int64_t>(value);
    return number == nullptr ? std::nullopt : std::optional(*number);
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
