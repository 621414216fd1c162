// Reading a GGUF file of version 2 or 3, little-endian: metadata and tensors, where they lie in the mapped file.
// The sentences about what is wrong with a file are those of bitparity.model.gguf_file.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bitnet/format_table.hpp"
#include "library/mapped_file.hpp"

namespace bitnet::library {

// Type ids of metadata values; source: the GGUF specification, ggml/docs/gguf.md.
enum class ValueType : std::uint32_t {
    u8,
    i8,
    u16,
    i16,
    u32,
    i32,
    f32,
    boolean,
    string,
    array,
    u64,
    i64,
    f64
};

// `count` values of one type, one after the other; a string lies behind its length, a uint64.
struct Array {
    ValueType item;
    std::uint64_t count;
    std::span<const std::uint8_t> bytes;

    // What is not UTF-8 becomes U+FFFD; nothing when they are no strings.
    std::vector<std::string> strings() const;
    // Nothing when they are no numbers.
    std::vector<double> numbers() const;
};

// Whole numbers are int64 where they fit; a uint64 beyond that is a double.
using Value = std::variant<bool, std::int64_t, double, std::string, Array>;

struct Tensor {
    std::string name;
    std::vector<std::uint64_t> shape;  // outermost axis first
    Format format;
    std::span<const std::uint8_t> data;
    std::shared_ptr<const std::vector<std::uint8_t>> repacked;  // what data is of, where it is not the file

    std::uint64_t rows() const;
    std::uint64_t cols() const { return shape.back(); }
};

using Metadata = std::map<std::string, Value, std::less<>>;
using Tensors = std::map<std::string, Tensor, std::less<>>;

// One that was split into shards is named by the first.
class GgufFile {
public:
    // Throws BadInput for everything that is wrong with the file; the sentence does not name it.
    explicit GgufFile(const std::string& path);

    const Metadata& metadata() const { return metadata_; }
    const Tensors& tensors() const { return tensors_; }
    std::size_t size() const;            // bytes of all shards
    std::size_t repacked_bytes() const;  // of tensors that are kept in another order than the file's

    const Value* find(std::string_view key) const;
    // A whole number; nothing when the key is missing or something else.
    std::optional<std::int64_t> integer(std::string_view key) const;
    // Any number as a truth value, as Python's bool() takes it.
    bool truth(std::string_view key, bool otherwise) const;
    // Null when the key is missing or something else.
    const std::string* text(std::string_view key) const;
    const Array* array(std::string_view key) const;

private:
    std::deque<MappedFile> shards_;
    Metadata metadata_;
    Tensors tensors_;
};

// A whole number; nothing when the key is missing or something else.
std::optional<std::int64_t> integer_in(const Metadata& metadata, std::string_view key);

// "12", "llama" or "an array of 3", for messages.
std::string value_text(const Value& value);

}  // namespace bitnet::library
