#include "library/hyperparameters.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>

#include "library/bad_input.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();

// Metadata under the prefix of one architecture.
class Keys {
public:
    Keys(const GgufFile& file, std::string_view arch) : file_(file), prefix_(std::string(arch) + ".") {}

    std::string name(std::string_view key) const { return prefix_ + std::string(key); }
    const Value* find(std::string_view key) const { return file_.find(name(key)); }

    // A positive whole number; an array stands for its value when it holds only one (n_ff a layer).
    int integer(std::string_view key) const {
        const Value* value = find(key);
        if (value == nullptr) throw missing(key);
        const auto number = whole(*value);
        if (!number || *number < 1 || *number > largest) {
            throw BadInput("metadata key " + name(key) + " is " + value_text(*value) +
                           ", not one positive whole number");
        }
        return int(*number);
    }

    float real(std::string_view key) const {
        const Value* value = find(key);
        if (value == nullptr) throw missing(key);
        double number = 0;
        if (const auto* real = std::get_if<double>(value)) number = *real;
        if (const auto* integer = std::get_if<std::int64_t>(value)) number = double(*integer);
        if (!(number > 0) || std::isinf(number)) {
            throw BadInput("metadata key " + name(key) + " is " + value_text(*value) +
                           ", not a positive number");
        }
        return float(number);
    }

private:
    BadInput missing(std::string_view key) const {
        return BadInput("metadata key " + name(key) + " is missing; convert the model again");
    }

    static std::optional<std::int64_t> whole(const Value& value) {
        if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
        const auto* array = std::get_if<Array>(&value);
        if (array == nullptr) return {};
        if (array->item == ValueType::f32 || array->item == ValueType::f64) return {};
        const std::vector<double> numbers = array->numbers();
        if (numbers.empty()) return {};
        for (const double number : numbers) {
            if (number != numbers.front()) return {};
        }
        return std::int64_t(numbers.front());
    }

    const GgufFile& file_;
    std::string prefix_;
};

void read(const HyperKey& key, const Keys& keys, Shape& shape) {
    const bool is_missing = keys.find(key.key) == nullptr;
    if (is_missing && key.otherwise != nullptr) {
        if (key.integer != nullptr) shape.*key.integer = int(key.otherwise(shape));
        if (key.real != nullptr) shape.*key.real = float(key.otherwise(shape));
    } else if (key.integer != nullptr) {
        shape.*key.integer = keys.integer(key.key);
    } else {
        shape.*key.real = keys.real(key.key);
    }
}

// The architecture's key, else the number of tokens, else the embedding's axis that is not n_embd.
int read_n_vocab(const GgufFile& file, const Keys& keys, int n_embd) {
    if (keys.find("vocab_size") != nullptr) return keys.integer("vocab_size");
    std::uint64_t n_vocab = 0;
    if (const Array* tokens = file.array("tokenizer.ggml.tokens")) {
        n_vocab = tokens->count;
    } else {
        const auto found = file.tensors().find("token_embd.weight");
        if (found == file.tensors().end() || found->second.shape.size() != 2) {
            throw BadInput(
                "the vocabulary's size is in no metadata key and there is no tensor token_embd.weight");
        }
        const Tensor& embedding = found->second;
        n_vocab = embedding.cols() == std::uint64_t(n_embd) ? embedding.rows() : embedding.cols();
    }
    if (n_vocab < 1 || n_vocab > std::uint64_t(largest)) {
        throw BadInput("a vocabulary of " + with_commas(n_vocab) + " tokens cannot be run");
    }
    return int(n_vocab);
}

bool is_one_of(const Value& value, std::initializer_list<double> numbers) {
    const auto* real = std::get_if<double>(&value);
    const auto* whole = std::get_if<std::int64_t>(&value);
    if (real == nullptr && whole == nullptr) return false;
    const double number = real != nullptr ? *real : double(*whole);
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

// Refuses a value of a key, if the file has it, that is none of these numbers; the first is named.
void require(const Keys& keys, std::string_view key, std::initializer_list<double> numbers) {
    const Value* value = keys.find(key);
    if (value == nullptr || is_one_of(*value, numbers)) return;
    throw BadInput("metadata key " + keys.name(key) + " is " + value_text(*value) + "; only " +
                   value_text(Value(*numbers.begin())) + " is supported");
}

// As bitparity.model.rope_scaling has it.
RopeScaling read_rope_scaling(const Keys& keys, int context_length) {
    std::string kind = "linear";
    if (const Value* value = keys.find("rope.scaling.type")) {
        const auto* text = std::get_if<std::string>(value);
        if (text == nullptr || (*text != "none" && *text != "linear" && *text != "yarn")) {
            throw BadInput("metadata key " + keys.name("rope.scaling.type") + " is " + value_text(*value) +
                           "; only none, linear and yarn are supported");
        }
        kind = *text;
    }
    require(keys, "rope.scaling.attn_factor", {1});
    require(keys, "rope.scaling.yarn_log_multiplier", {0});
    require(keys, "rope.scaling.yarn_ext_factor", {1, -1});
    require(keys, "rope.scaling.yarn_attn_factor", {1});
    require(keys, "rope.scaling.yarn_beta_fast", {32});
    require(keys, "rope.scaling.yarn_beta_slow", {1});
    for (const std::string_view key : {"rope.scaling.factor", "rope.scale_linear"}) {
        const Value* value = keys.find(key);
        if (kind == "none" || value == nullptr || is_one_of(*value, {0, 1})) continue;
        const float factor = keys.real(key);
        if (factor < 1) {
            throw BadInput("metadata key " + keys.name(key) + " is " + value_text(*value) +
                           "; it must be at least 1");
        }
        const bool has_original = keys.find("rope.scaling.original_context_length") != nullptr;
        return {kind == "yarn", factor,
                has_original ? keys.integer("rope.scaling.original_context_length") : context_length};
    }
    return {};
}

void refuse_unsupported(const Keys& keys) {
    require(keys, "attention.sliding_window_pattern", {6});
    require(keys, "final_logit_softcapping", {0});
    const Value* experts = keys.find("expert_count");
    if (experts != nullptr && value_text(*experts) != "0") {
        throw BadInput("metadata key " + keys.name("expert_count") + " is " + value_text(*experts) +
                       "; experts are not supported");
    }
}

// The activation function that a file declares goes before the architecture's own.
Activation read_activation(const Keys& keys, Activation otherwise) {
    for (const std::string_view key : activation_keys()) {
        const Value* value = keys.find(key);
        if (value == nullptr) continue;
        const auto* text = std::get_if<std::string>(value);
        std::vector<std::string> known;
        for (const ActivationName& row : activation_names()) {
            if (text != nullptr && *text == row.name) return row.activation;
            known.emplace_back(row.name);
        }
        throw BadInput("metadata key " + keys.name(key) + " is " + value_text(*value) + "; supported are " +
                       joined(known));
    }
    return otherwise;
}

void check(const Shape& shape, const Keys& keys) {
    const bool has_value_length = keys.find("attention.value_length") != nullptr;
    if (has_value_length && keys.integer("attention.value_length") != shape.head_dim) {
        throw BadInput("metadata key " + keys.name("attention.value_length") + " is not the key length " +
                       std::to_string(shape.head_dim));
    }
    if (keys.find("attention.key_length") == nullptr && shape.n_embd % shape.n_head != 0) {
        throw BadInput(std::to_string(shape.n_head) + " heads do not divide the width " +
                       std::to_string(shape.n_embd));
    }
    if (shape.n_head % shape.n_head_kv != 0) {
        throw BadInput(std::to_string(shape.n_head_kv) + " KV heads do not divide the " +
                       std::to_string(shape.n_head) + " heads");
    }
    if (shape.rope_dim % 2 != 0 || shape.rope_dim > shape.head_dim) {
        throw BadInput(std::to_string(shape.rope_dim) +
                       " rotated dimensions are odd or more than the head's " +
                       std::to_string(shape.head_dim));
    }
    if (std::int64_t(shape.n_head) * shape.head_dim > largest) {
        throw BadInput(std::to_string(shape.n_head) + " heads of " + std::to_string(shape.head_dim) +
                       " dimensions cannot be run");
    }
}

}  // namespace

bool has_a_part_for_every_tensor_of_the_first_block(const Architecture& architecture, const GgufFile& file) {
    constexpr std::string_view prefix = "blk.0.", suffix = ".weight";
    for (const auto& [name, tensor] : file.tensors()) {
        if (!name.starts_with(prefix)) continue;
        const bool has_part = std::any_of(
            architecture.weights.begin(), architecture.weights.end(), [&](const BlockWeight& weight) {
                return name == std::string(prefix) + std::string(weight.tensor) + std::string(suffix);
            });
        if (!has_part) return false;
    }
    return true;
}

namespace {

constexpr double pools_last_token = 3;  // of pooling_type: LLAMA_POOLING_TYPE_LAST

bool pools(const Keys& keys) {
    const Value* value = keys.find("pooling_type");
    return value != nullptr && is_one_of(*value, {pools_last_token});
}

// As bitparity.architectures.architecture_of_file: of several with this name the smallest that fits the file.
const Architecture& architecture_named_in(const GgufFile& file) {
    const std::string* name = file.text("general.architecture");
    if (name == nullptr) {
        throw BadInput("metadata key general.architecture is missing; convert the model again");
    }
    std::vector<std::string> known;
    std::vector<const Architecture*> named;
    for (const Architecture& architecture : architectures()) {
        if (!architecture.is_llama_with_norms) continue;
        if (architecture.gguf_name == *name) named.push_back(&architecture);
        if (architecture.gguf_name == architecture.name) known.emplace_back(architecture.name);
    }
    std::ranges::sort(named, {}, [](const Architecture* a) { return a->weights.size(); });
    for (const Architecture* architecture : named) {
        if (has_a_part_for_every_tensor_of_the_first_block(*architecture, file)) return *architecture;
    }
    if (!named.empty()) return *named.front();
    throw BadInput("libbitnet runs " + joined(known) + ", not " + quoted(*name));
}

}  // namespace

Architecture architecture_of(const GgufFile& file) {
    Architecture architecture = architecture_named_in(file);
    if (pools(Keys(file, architecture.gguf_name)))
        architecture.stages.insert(architecture.stages.end() - 1, {"pooled", false});
    return architecture;
}

Shape read_shape(const GgufFile& file, const Architecture& architecture) {
    const Keys keys(file, architecture.gguf_name);
    refuse_unsupported(keys);
    Shape shape{};
    for (const HyperKey& key : architecture.keys) read(key, keys, shape);
    shape.n_vocab = read_n_vocab(file, keys, shape.n_embd);
    shape.rope_pairs = architecture.rope_pairs;
    shape.rope_scaling = read_rope_scaling(keys, shape.context_length);
    shape.activation = read_activation(keys, architecture.activation);
    shape.scales_embeddings = architecture.scales_embeddings;
    shape.divides_queries = architecture.divides_queries;
    shape.pools_last_token = pools(keys);
    check(shape, keys);
    return shape;
}

}  // namespace bitnet::library
