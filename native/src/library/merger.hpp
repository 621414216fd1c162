// Byte-pair merging: neighbours are joined in the order of the ranks of their pairs, leftmost first.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace bitnet::library {

class Merger {
public:
    // A later rank of the same pair replaces an earlier one.
    void add(std::int32_t first, std::int32_t second, std::int32_t rank, std::int32_t joined);

    // Appends to ids what becomes of the symbols.
    void merge(const std::vector<std::int32_t>& symbols, std::vector<std::int32_t>& ids) const;

private:
    struct Rule {
        std::int32_t rank, joined;
    };
    const Rule* rule_of(std::int32_t first, std::int32_t second) const;

    std::unordered_map<std::uint64_t, Rule> rules_;
};

}  // namespace bitnet::library
