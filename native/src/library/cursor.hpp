// Walking over the header of a GGUF file.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "library/gguf.hpp"

namespace bitnet::library {

template <typename T>
T load(const std::uint8_t* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// Bytes of a number; 0 for what is none.
std::size_t number_bytes(ValueType type);

Value number_at(const std::uint8_t* at, ValueType type);

// Never goes beyond the end of the file: throws BadInput where that would be needed.
class Cursor {
public:
    explicit Cursor(std::span<const std::uint8_t> file) : file_(file) {}

    std::size_t position() const { return at_; }
    std::span<const std::uint8_t> take(std::uint64_t bytes);

    template <typename T>
    T number() {
        return load<T>(take(sizeof(T)).data());
    }

    std::string_view string();
    Value value();

private:
    ValueType value_type();
    Array array();

    std::span<const std::uint8_t> file_;
    std::size_t at_ = 0;
};

}  // namespace bitnet::library
