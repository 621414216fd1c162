#include "library/blake3.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace bitnet::library {
namespace {

using Words = std::array<std::uint32_t, 8>;
using Block = std::array<std::uint32_t, 16>;

constexpr Words initial{0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                        0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
constexpr std::array<std::size_t, 16> permutation{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
constexpr std::size_t block_bytes = 64, chunk_bytes = 1024;
constexpr std::uint32_t chunk_start = 1, chunk_end = 2, parent = 4, root = 8;

void mix(Block& v, std::size_t a, std::size_t b, std::size_t c, std::size_t d, std::uint32_t x,
         std::uint32_t y) {
    v[a] += v[b] + x;
    v[d] = std::rotr(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = std::rotr(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = std::rotr(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = std::rotr(v[b] ^ v[c], 7);
}

// What is left to compress of a chunk or a parent; its last compression says whether it is the root.
struct Node {
    Words chaining;
    Block message;
    std::uint64_t counter;
    std::uint32_t length, flags;

    Words compressed(std::uint32_t more_flags = 0) const {
        Block v{};
        std::copy(chaining.begin(), chaining.end(), v.begin());
        std::copy_n(initial.begin(), 4, v.begin() + 8);
        v[12] = std::uint32_t(counter), v[13] = std::uint32_t(counter >> 32);
        v[14] = length, v[15] = flags | more_flags;
        Block m = message;
        for (int round = 0; round < 7; ++round) {
            mix(v, 0, 4, 8, 12, m[0], m[1]), mix(v, 1, 5, 9, 13, m[2], m[3]);
            mix(v, 2, 6, 10, 14, m[4], m[5]), mix(v, 3, 7, 11, 15, m[6], m[7]);
            mix(v, 0, 5, 10, 15, m[8], m[9]), mix(v, 1, 6, 11, 12, m[10], m[11]);
            mix(v, 2, 7, 8, 13, m[12], m[13]), mix(v, 3, 4, 9, 14, m[14], m[15]);
            Block permuted{};
            for (std::size_t i = 0; i < 16; ++i) permuted[i] = m[permutation[i]];
            m = permuted;
        }
        Words result{};
        for (std::size_t i = 0; i < 8; ++i) result[i] = v[i] ^ v[i + 8];
        return result;
    }
};

Node chunk_node(std::span<const std::uint8_t> bytes, std::uint64_t counter) {
    Node node{initial, {}, counter, 0, chunk_start};
    for (;;) {
        const auto block = bytes.first(std::min(block_bytes, bytes.size()));
        node.message = {};
        std::memcpy(node.message.data(), block.data(), block.size());
        node.length = std::uint32_t(block.size());
        bytes = bytes.subspan(block.size());
        if (bytes.empty()) break;
        node.chaining = node.compressed();
        node.flags = 0;
    }
    node.flags |= chunk_end;
    return node;
}

// The left part is the largest power of two of chunks that leaves something for the right.
Node tree_node(std::span<const std::uint8_t> bytes, std::uint64_t counter) {
    if (bytes.size() <= chunk_bytes) return chunk_node(bytes, counter);
    const std::size_t left = std::bit_floor((bytes.size() - 1) / chunk_bytes) * chunk_bytes;
    Node node{initial, {}, 0, std::uint32_t(block_bytes), parent};
    const Words first = tree_node(bytes.first(left), counter).compressed();
    const Words second = tree_node(bytes.subspan(left), counter + left / chunk_bytes).compressed();
    std::copy(first.begin(), first.end(), node.message.begin());
    std::copy(second.begin(), second.end(), node.message.begin() + 8);
    return node;
}

}  // namespace

std::string blake3(std::span<const std::uint8_t> bytes) {
    constexpr const char* digits = "0123456789abcdef";
    std::string hex;
    for (const std::uint32_t word : tree_node(bytes, 0).compressed(root)) {
        for (int shift = 0; shift < 32; shift += 8) {
            hex += digits[word >> (shift + 4) & 15];
            hex += digits[word >> shift & 15];
        }
    }
    return hex;
}

}  // namespace bitnet::library
