#include "library/tensor_table.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "library/bad_input.hpp"
#include "library/utf8.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

constexpr std::uint32_t most_axes = 4;  // GGML_MAX_DIMS

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

// Where tensors lie: their offsets, in order, and what they are offsets into.
struct Layout {
    std::span<const std::uint8_t> file;
    std::uint64_t data_start, alignment;
    std::vector<std::uint64_t> offsets;

    // Bytes from the first of a tensor to the first of the next one, or to the end of the file.
    std::uint64_t room_of(const Info& info) const {
        const std::uint64_t end = file.size() - data_start;
        const auto next = std::ranges::upper_bound(offsets, info.offset);
        return (next == offsets.end() ? end : std::min(*next, end)) - info.offset;
    }

    bool is_filled_by(std::uint64_t bytes, const Info& info) const {
        const std::uint64_t room = room_of(info);
        return room == bytes || room == (bytes + alignment - 1) / alignment * alignment;
    }
};

// Q2_0 in blocks of 128 weights comes under the same type; which of the two a tensor has only its room tells.
constexpr std::uint64_t wide_block_q2_0 = 128, wide_q2_0_bytes = 34, half_scale_bytes = 2;

bool is_q2_0_in_128(const FormatRow& row, const Info& info, std::uint64_t elements, const Layout& layout) {
    if (row.format != Format::q2_0 || info.shape.back() % wide_block_q2_0 != 0) return false;
    return !layout.is_filled_by(elements / block_q2_0 * q2_0_bytes, info) &&
           layout.is_filled_by(elements / wide_block_q2_0 * wide_q2_0_bytes, info);
}

// The same weights in blocks of 64: each half of a block with its scale.
std::vector<std::uint8_t> in_blocks_of_64(std::span<const std::uint8_t> wide) {
    constexpr std::uint64_t half_codes = (wide_q2_0_bytes - half_scale_bytes) / 2;
    std::vector<std::uint8_t> narrow;
    narrow.reserve(wide.size() / wide_q2_0_bytes * 2 * q2_0_bytes);
    for (std::size_t at = 0; at < wide.size(); at += wide_q2_0_bytes) {
        for (const std::size_t codes : {at + half_scale_bytes, at + half_scale_bytes + half_codes}) {
            std::ranges::copy(wide.subspan(at, half_scale_bytes), std::back_inserter(narrow));
            std::ranges::copy(wide.subspan(codes, half_codes), std::back_inserter(narrow));
        }
    }
    return narrow;
}

Tensor tensor_of(const Info& info, const Layout& layout) {
    const FormatRow& row = format_of_type(info);
    const auto file = layout.file;
    const std::uint64_t elements = elements_of(info.shape);
    if (elements == 0 || elements > file.size() * 16) {
        throw BadInput("tensor " + info.name + " has the shape " + shape_text(info.shape) +
                       ", which the file has no room for; download it again");
    }
    const std::uint64_t start = layout.data_start + info.offset;
    if (info.offset > file.size() || start >= file.size() || start % layout.alignment != 0) {
        throw BadInput("tensor " + info.name + " begins at byte " + with_commas(start) +
                       ", which is not in the file's " + with_commas(file.size()) +
                       " bytes or no multiple of " + std::to_string(layout.alignment) +
                       "; download it again");
    }
    if (info.shape.back() % std::uint64_t(row.block) != 0) {
        throw BadInput("tensor " + info.name + " " + std::string(row.name) + ": " +
                       std::to_string(info.shape.back()) + " columns is not a multiple of its block of " +
                       std::to_string(row.block) + " weights");
    }
    const auto data = file.subspan(std::size_t(start));
    if (is_q2_0_in_128(row, info, elements, layout)) {
        const auto wide = data.first(std::size_t(elements / wide_block_q2_0 * wide_q2_0_bytes));
        auto repacked = std::make_shared<const std::vector<std::uint8_t>>(in_blocks_of_64(wide));
        const std::span<const std::uint8_t> bytes = *repacked;
        return {info.name, info.shape, row.format, bytes, std::move(repacked)};
    }
    const std::uint64_t bytes = elements / std::uint64_t(row.block) * std::uint64_t(row.block_bytes) +
                                (row.has_one_scale ? sizeof(float) : 0);
    if (bytes > data.size()) {
        throw BadInput("tensor " + info.name + " ends at byte " + with_commas(start + bytes) +
                       " but the file has " + with_commas(file.size()) + "; download it again");
    }
    if (bytes > layout.room_of(info)) {
        throw BadInput("tensor " + info.name + " would take " + with_commas(bytes) + " bytes in " +
                       std::string(row.name) + " and has " + with_commas(layout.room_of(info)) +
                       "; download it again");
    }
    return {info.name, info.shape, row.format, data.first(std::size_t(bytes)), nullptr};
}

}  // namespace

std::uint64_t elements_of(const std::vector<std::uint64_t>& shape) {
    std::uint64_t elements = 1;
    for (const std::uint64_t axis : shape) {
        if (__builtin_mul_overflow(elements, axis, &elements))
            return std::numeric_limits<std::uint64_t>::max();
    }
    return elements;
}

Tensors read_tensors(Cursor& cursor, std::uint64_t count, std::span<const std::uint8_t> file,
                     std::uint64_t alignment) {
    std::vector<Info> infos;
    for (std::uint64_t i = 0; i < count; ++i) infos.push_back(read_info(cursor));
    Layout layout{file, (cursor.position() + alignment - 1) / alignment * alignment, alignment, {}};
    for (const Info& info : infos) layout.offsets.push_back(info.offset);
    std::ranges::sort(layout.offsets);
    Tensors tensors;
    for (const Info& info : infos) {
        if (tensors.contains(info.name)) {
            throw BadInput("tensor " + info.name + " occurs twice; convert it again");
        }
        tensors.emplace(info.name, tensor_of(info, layout));
    }
    return tensors;
}

}  // namespace bitnet::library
