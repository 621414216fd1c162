#include "library/cursor.hpp"

#include <limits>

#include "library/bad_input.hpp"
#include "library/utf8.hpp"
#include "library/words.hpp"

namespace bitnet::library {

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

std::span<const std::uint8_t> Cursor::take(std::uint64_t bytes) {
    if (bytes > file_.size() - at_) {
        throw BadInput("the header needs " + with_commas(at_ + bytes) + " bytes but the file has " +
                       with_commas(file_.size()) + "; download it again");
    }
    const auto taken = file_.subspan(at_, std::size_t(bytes));
    at_ += std::size_t(bytes);
    return taken;
}

std::string_view Cursor::string() {
    const auto length = number<std::uint64_t>();
    const auto bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Value Cursor::value() {
    const ValueType type = value_type();
    if (type == ValueType::string) return with_replacements(string());
    if (type == ValueType::array) return array();
    return number_at(take(number_bytes(type)).data(), type);
}

ValueType Cursor::value_type() {
    const std::size_t start = at_;
    const auto type = number<std::uint32_t>();
    if (type > std::uint32_t(ValueType::f64)) {
        throw BadInput("the header has a value of type " + std::to_string(type) + " at byte " +
                       with_commas(start) + "; download it again");
    }
    return ValueType(type);
}

Array Cursor::array() {
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

}  // namespace bitnet::library
