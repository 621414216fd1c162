#include "library/utf8.hpp"

#include <cstdint>

namespace bitnet::library {
namespace {

struct Character {
    std::size_t bytes;  // at least 1
    bool is_whole;
    char32_t code;
};

std::uint8_t byte_at(std::string_view text, std::size_t at) { return static_cast<std::uint8_t>(text[at]); }

// Bytes that a character with this first byte has, and which second bytes it may have; 0 for no first byte.
struct Form {
    std::size_t bytes;
    std::uint8_t low = 0x80, high = 0xBF;
};

Form form_of(std::uint8_t first) {
    if (first < 0x80) return {1};
    if (first < 0xC2) return {0};
    if (first < 0xE0) return {2};
    if (first == 0xE0) return {3, 0xA0, 0xBF};
    if (first == 0xED) return {3, 0x80, 0x9F};  // no surrogates
    if (first < 0xF0) return {3};
    if (first == 0xF0) return {4, 0x90, 0xBF};
    if (first < 0xF4) return {4};
    if (first == 0xF4) return {4, 0x80, 0x8F};
    return {0};
}

Character character_at(std::string_view text, std::size_t at) {
    const std::uint8_t first = byte_at(text, at);
    const Form form = form_of(first);
    if (form.bytes == 0) return {1, false, 0};
    char32_t code = form.bytes == 1 ? first : first & (0xFFu >> (form.bytes + 1));
    for (std::size_t i = 1; i < form.bytes; ++i) {
        const std::uint8_t low = i == 1 ? form.low : 0x80, high = i == 1 ? form.high : 0xBF;
        if (at + i >= text.size()) return {i, false, 0};
        const std::uint8_t next = byte_at(text, at + i);
        if (next < low || next > high) return {i, false, 0};
        code = code << 6 | (next & 0x3Fu);
    }
    return {form.bytes, true, code};
}

}  // namespace

std::optional<std::size_t> first_not_utf8(std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
        const Character character = character_at(bytes, at);
        if (!character.is_whole) return at;
        at += character.bytes;
    }
    return {};
}

std::string with_replacements(std::string_view bytes) {
    std::string text;
    text.reserve(bytes.size());
    for (std::size_t at = 0; at < bytes.size();) {
        const Character character = character_at(bytes, at);
        text += character.is_whole ? bytes.substr(at, character.bytes) : std::string_view("\xEF\xBF\xBD");
        at += character.bytes;
    }
    return text;
}

std::vector<char32_t> code_points(std::string_view text) {
    std::vector<char32_t> codes;
    codes.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        const Character character = character_at(text, at);
        codes.push_back(character.code);
        at += character.bytes;
    }
    return codes;
}

void append(std::string& text, char32_t code) {
    const auto tail = [&](int shift) { text += char(0x80 | (code >> shift & 0x3F)); };
    if (code < 0x80) {
        text += char(code);
    } else if (code < 0x800) {
        text += char(0xC0 | code >> 6);
        tail(0);
    } else if (code < 0x10000) {
        text += char(0xE0 | code >> 12);
        tail(6), tail(0);
    } else {
        text += char(0xF0 | code >> 18);
        tail(12), tail(6), tail(0);
    }
}

}  // namespace bitnet::library
