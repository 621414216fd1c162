#include "bitnet/blake3.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace bitnet {
namespace {

constexpr std::size_t chunk_bytes = 1024;
constexpr int lanes = 8;

using ChainingValue = std::array<std::uint32_t, 8>;

struct Piece {
    const std::uint8_t* data;
    std::uint64_t counter;
};

constexpr std::uint32_t chunk_start = 1, chunk_end = 2, parent = 4, root = 8;

// Runs hash_eight over `count` inputs; input(i) is a Piece.
template <class Input>
void compress(const KernelSet& kernels, std::size_t count, HashInputs inputs, ChainingValue* out,
              const Input& input) {
    for (std::size_t first = 0; first < count; first += lanes) {
        for (int lane = 0; lane < lanes; ++lane) {
            const Piece piece = input(std::min(first + std::size_t(lane), count - 1));
            inputs.data[lane] = piece.data;
            inputs.counters[lane] = piece.counter;
        }
        std::uint32_t values[lanes][8];
        kernels.hash_eight(inputs, values);
        const std::size_t used = std::min(std::size_t(lanes), count - first);
        for (std::size_t lane = 0; lane < used; ++lane)
            std::copy_n(values[lane], 8, out[first + lane].begin());
    }
}

// One level up: `trees` rows of `width` values each become rows of (width + 1) / 2.
std::size_t join_pairs(const KernelSet& kernels, std::size_t trees, std::size_t width,
                       std::vector<ChainingValue>& values) {
    const std::size_t pairs = width / 2, next = (width + 1) / 2;
    const std::uint32_t flags = parent | (width == 2 ? root : 0);
    std::vector<ChainingValue> joined(trees * pairs);
    compress(kernels, trees * pairs, {{}, {}, 2 * sizeof(ChainingValue), 0, 0, flags}, joined.data(),
             [&](std::size_t i) {
                 const ChainingValue* left = &values[i / pairs * width + i % pairs * 2];
                 return Piece{reinterpret_cast<const std::uint8_t*>(left), 0};
             });
    for (std::size_t tree = 0; tree < trees; ++tree) {
        if (width % 2 == 1) values[tree * next + pairs] = values[tree * width + width - 1];
        std::copy_n(joined.begin() + std::ptrdiff_t(tree * pairs), pairs,
                    values.begin() + std::ptrdiff_t(tree * next));
    }
    values.resize(trees * next);
    return next;
}

Digest bytes_of(const ChainingValue& value) {
    Digest digest;
    std::memcpy(digest.data(), value.data(), digest.size());  // both little-endian
    return digest;
}

}  // namespace

void hash_messages(const KernelSet& kernels, const std::uint8_t* first, std::size_t stride, int count,
                   std::size_t bytes, Digest* out) {
    // A last chunk that is full goes with the others, unless it is the only one and so the root.
    const bool all_full = bytes > chunk_bytes && bytes % chunk_bytes == 0;
    const std::size_t full = (all_full || bytes == 0) ? bytes / chunk_bytes : (bytes - 1) / chunk_bytes;
    const std::size_t width = all_full ? full : full + 1, trees = std::size_t(count);
    std::vector<ChainingValue> values(trees * width), part(trees * std::max<std::size_t>(full, 1));
    const auto place = [&](std::size_t n, std::size_t at) {
        for (std::size_t tree = 0; tree < trees; ++tree)
            std::copy_n(&part[tree * n], n, &values[tree * width + at]);
    };
    if (full > 0) {
        compress(kernels, trees * full, {{}, {}, chunk_bytes, chunk_start, chunk_end, 0}, part.data(),
                 [&](std::size_t i) {
                     return Piece{first + i / full * stride + i % full * chunk_bytes, i % full};
                 });
        place(full, 0);
    }
    if (!all_full) {
        const std::uint32_t end = chunk_end | (full == 0 ? root : 0);
        compress(kernels, trees, {{}, {}, bytes - full * chunk_bytes, chunk_start, end, 0}, part.data(),
                 [&](std::size_t i) { return Piece{first + i * stride + full * chunk_bytes, full}; });
        place(1, full);
    }
    for (std::size_t left = width; left > 1;) left = join_pairs(kernels, trees, left, values);
    std::transform(values.begin(), values.end(), out, bytes_of);
}

}  // namespace bitnet
