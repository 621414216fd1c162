#include "library/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <vector>

#include "library/bad_input.hpp"

namespace bitnet::library {
namespace {

struct Candidate {
    std::int32_t id;
    double logit;
};

// In [0, 1), by SplitMix64 (Steele, Lea and Flood 2014).
double draw(std::uint64_t seed, std::uint64_t position) {
    std::uint64_t z = seed + (position + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return double((z ^ z >> 31) >> 11) * 0x1p-53;
}

std::vector<Candidate> penalized(std::span<const float> logits, std::span<const std::int32_t> history,
                                 const bitnet_generation_config& config) {
    std::vector<Candidate> candidates(logits.size());
    for (std::size_t id = 0; id < logits.size(); ++id) {
        if (std::isnan(logits[id])) throw std::runtime_error("the logits are not numbers");
        candidates[id] = {std::int32_t(id), double(logits[id])};
    }
    if (config.repetition_penalty == 1.0f) return candidates;
    const auto window = std::min(history.size(), std::size_t(config.repetition_window));
    const auto recent = history.last(window);
    for (const std::int32_t id : std::set<std::int32_t>(recent.begin(), recent.end())) {
        double& logit = candidates[std::size_t(id)].logit;
        const double penalty = double(config.repetition_penalty);
        logit = logit > 0 ? logit / penalty : logit * penalty;
    }
    return candidates;
}

bool is_better(const Candidate& one, const Candidate& other) {
    return one.logit > other.logit || (one.logit == other.logit && one.id < other.id);
}

// Weights of the candidates, whose sum is anything.
std::vector<double> weights_of(const std::vector<Candidate>& candidates, double temperature) {
    std::vector<double> weights;
    for (const Candidate& candidate : candidates) {
        weights.push_back(std::exp((candidate.logit - candidates.front().logit) / temperature));
    }
    return weights;
}

// How many of the first make up so much of the sum.
std::size_t fewest(const std::vector<double>& weights, double share) {
    double sum = 0, reached = 0;
    for (const double weight : weights) sum += weight;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        reached += weights[i];
        if (reached >= share * sum) return i + 1;
    }
    return weights.size();
}

}  // namespace

void check(const bitnet_generation_config& config) {
    if (config.max_tokens < 0) throw BadInput("max_tokens is negative");
    if (!(config.temperature >= 0) || std::isinf(config.temperature)) {
        throw BadInput("temperature is no number of at least 0");
    }
    if (config.top_k < 0) throw BadInput("top_k is negative");
    if (!(config.top_p > 0 && config.top_p <= 1)) throw BadInput("top_p is not above 0 and at most 1");
    if (!(config.repetition_penalty > 0) || std::isinf(config.repetition_penalty)) {
        throw BadInput("repetition_penalty is no number above 0");
    }
    if (config.repetition_window < 0) throw BadInput("repetition_window is negative");
}

std::int32_t choose_token(std::span<const float> logits, std::span<const std::int32_t> history,
                          const bitnet_generation_config& config) {
    std::vector<Candidate> candidates = penalized(logits, history, config);
    if (config.temperature == 0) return std::ranges::min_element(candidates, is_better)->id;
    const std::size_t kept =
        config.top_k == 0 ? candidates.size() : std::min(candidates.size(), std::size_t(config.top_k));
    std::ranges::partial_sort(candidates, candidates.begin() + std::ptrdiff_t(kept), is_better);
    candidates.resize(kept);
    std::vector<double> weights = weights_of(candidates, double(config.temperature));
    weights.resize(fewest(weights, double(config.top_p)));
    double sum = 0, reached = 0;
    for (const double weight : weights) sum += weight;
    const double drawn = draw(config.seed, history.size()) * sum;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        reached += weights[i];
        if (reached > drawn) return candidates[i].id;
    }
    return candidates[weights.size() - 1].id;
}

}  // namespace bitnet::library
