// Pieces of error messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitnet::library {

// 1234567 as 1,234,567.
std::string with_commas(std::uint64_t number);

std::string joined(const std::vector<std::string>& words, std::string_view between = ", ");

// In single quotes; bytes that are no printable ASCII are written as \x1f.
std::string quoted(std::string_view text);

// What stands behind the last slash of a path.
std::string base_name(const std::string& path);

// [2, 3]
std::string shape_text(const std::vector<std::uint64_t>& shape);

}  // namespace bitnet::library
