// UTF-8 and code points.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitnet::library {

// Where the first byte lies that is not part of UTF-8; nothing for a text that is.
std::optional<std::size_t> first_not_utf8(std::string_view bytes);

// The same text with U+FFFD for each longest beginning of a character that goes on wrongly (Unicode, section 3.9, and
// Python's errors="replace").
std::string with_replacements(std::string_view bytes);

// Of a text that is UTF-8.
std::vector<char32_t> code_points(std::string_view text);

void append(std::string& text, char32_t code_point);

}  // namespace bitnet::library
