#include "library/merger.hpp"

#include <queue>
#include <tuple>

namespace bitnet::library {
namespace {

constexpr std::size_t none = ~std::size_t(0);

struct Symbol {
    std::int32_t id;
    std::size_t before, after;
    bool is_gone;
};

// A merge that was possible when it was found.
struct Candidate {
    std::int32_t rank;
    std::size_t at;
    std::int32_t joined;

    bool operator>(const Candidate& other) const {
        return std::tie(rank, at) > std::tie(other.rank, other.at);
    }
};

std::uint64_t key_of(std::int32_t first, std::int32_t second) {
    return std::uint64_t(std::uint32_t(first)) << 32 | std::uint32_t(second);
}

}  // namespace

void Merger::add(std::int32_t first, std::int32_t second, std::int32_t rank, std::int32_t joined) {
    rules_[key_of(first, second)] = {rank, joined};
}

const Merger::Rule* Merger::rule_of(std::int32_t first, std::int32_t second) const {
    const auto found = rules_.find(key_of(first, second));
    return found == rules_.end() ? nullptr : &found->second;
}

void Merger::merge(const std::vector<std::int32_t>& ids_in, std::vector<std::int32_t>& ids) const {
    std::vector<Symbol> symbols(ids_in.size());
    for (std::size_t i = 0; i < symbols.size(); ++i) {
        symbols[i] = {ids_in[i], i == 0 ? none : i - 1, i + 1 == symbols.size() ? none : i + 1, false};
    }
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
    const auto look_at = [&](std::size_t at) {
        if (at == none || symbols[at].after == none) return;
        const Rule* rule = rule_of(symbols[at].id, symbols[symbols[at].after].id);
        if (rule != nullptr) candidates.push({rule->rank, at, rule->joined});
    };
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) look_at(i);
    while (!candidates.empty()) {
        const Candidate best = candidates.top();
        candidates.pop();
        Symbol& symbol = symbols[best.at];
        if (symbol.is_gone || symbol.after == none) continue;
        Symbol& after = symbols[symbol.after];
        const Rule* rule = rule_of(symbol.id, after.id);
        if (rule == nullptr || rule->joined != best.joined) continue;  // one of the two has changed since
        symbol.id = best.joined;
        after.is_gone = true;
        symbol.after = after.after;
        if (symbol.after != none) symbols[symbol.after].before = best.at;
        look_at(symbol.before);
        look_at(best.at);
    }
    for (const Symbol& symbol : symbols) {
        if (!symbol.is_gone) ids.push_back(symbol.id);
    }
}

}  // namespace bitnet::library
