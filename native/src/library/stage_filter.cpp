#include "library/stage_filter.hpp"

#include <fnmatch.h>

#include <charconv>
#include <string>

#include "library/bad_input.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

struct Layers {
    int first, last;

    bool holds(int layer) const { return first <= layer && layer <= last; }
};

int number_of(std::string_view text, std::string_view clause) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
    throw BadInput("stage filter " + quoted(clause) + ": layer " + quoted(text) +
                   " is no number, range (0-3) or '*'");
}

Layers layers_of(std::string_view text, int n_layer, std::string_view clause) {
    if (text == "*") return {-1, n_layer - 1};
    const std::size_t dash = text.find('-', 1);  // -1 is a layer
    const int first = number_of(text.substr(0, dash), clause);
    return {first, dash == std::string_view::npos ? first : number_of(text.substr(dash + 1), clause)};
}

std::string_view trimmed(std::string_view text) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    while (text.ends_with(' ')) text.remove_suffix(1);
    return text;
}

void add_named(std::string_view clause, const Architecture& architecture, int n_layer, StageList& stages) {
    const std::size_t colon = clause.rfind(':');
    const bool has_layers = colon != std::string_view::npos;
    const Layers layers = layers_of(has_layers ? clause.substr(0, colon) : "*", n_layer, clause);
    const std::string pattern(has_layers ? clause.substr(colon + 1) : clause);
    const std::size_t before = stages.size();
    for (const StageRow& stage : architecture.stages) {
        const std::string name(stage.name);
        if (::fnmatch(pattern.c_str(), name.c_str(), 0) != 0) continue;
        if (!stage.in_block && layers.holds(-1)) stages.emplace_back(-1, name);
        for (int layer = 0; stage.in_block && layer < n_layer; ++layer) {
            if (layers.holds(layer)) stages.emplace_back(layer, name);
        }
    }
    if (stages.size() != before) return;
    std::vector<std::string> known;
    for (const StageRow& stage : architecture.stages) known.emplace_back(stage.name);
    throw BadInput("stage filter " + quoted(clause) + " matches nothing; the model has the layers 0 to " +
                   std::to_string(n_layer - 1) + " and the stages " + joined(known) +
                   ", of which those outside the blocks are of layer -1");
}

}  // namespace

StageList stages_named(std::string_view filter, const Architecture& architecture, int n_layer) {
    StageList stages;
    for (std::string_view rest = filter;;) {
        const std::size_t comma = rest.find(',');
        const std::string_view clause = trimmed(rest.substr(0, comma));
        if (!clause.empty()) add_named(clause, architecture, n_layer, stages);
        if (comma == std::string_view::npos) break;
        rest = rest.substr(comma + 1);
    }
    if (stages.empty()) throw BadInput("stage filter " + quoted(filter) + " is empty");
    return stages;
}

}  // namespace bitnet::library
