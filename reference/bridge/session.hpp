// A model of an unmodified llama.cpp, and a session with it: one context, one sequence.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "compat.hpp"
#include "tap.hpp"

namespace bridge {

/// The model does not load; what() is the first error that llama.cpp logged.
struct LoadError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Free {
    void operator()(llama_model* model) const { compat::free_model(model); }
    void operator()(llama_context* context) const { llama_free(context); }
};

/// The weights and the vocabulary of a GGUF file.
class Model {
public:
    /// device: a number of devices(), or -1 for the CPU.  Throws std::out_of_range for one that does not exist.
    Model(const std::string& path, int device);

    bool is_on_device() const { return is_on_device_; }

    llama_model* get() const { return model_.get(); }

private:
    bool is_on_device_;
    std::unique_ptr<llama_model, Free> model_;
};

class Session {
public:
    Session(std::shared_ptr<const Model> model, int context, int threads);

    std::vector<std::int32_t> tokenize(const std::string& text, bool add_special, bool parse_special) const;
    std::string detokenize(const std::vector<std::int32_t>& ids) const;

    /// Run tokens at `position()`.  Writes the logits of every token, or of the last alone, one row each.
    void evaluate(const std::vector<std::int32_t>& tokens, bool every, float* logits);
    /// Forget the positions >= to.
    void rollback(int to);
    /// The graph that `tokens` at the current position would be computed by; leaves the session as it was.
    std::vector<NodeDescription> nodes(const std::vector<std::int32_t>& tokens);

    int position() const { return position_; }
    int vocabulary_size() const { return n_vocab_; }
    Tap& tap() { return tap_; }

private:
    void evaluate_chunk(const std::int32_t* tokens, int n, bool every, bool last);

    Tap tap_;
    std::shared_ptr<const Model> model_;
    std::unique_ptr<llama_context, Free> context_;
    int chunk_ = 0, n_vocab_ = 0, position_ = 0;
};

/// Send llama.cpp's warnings and errors to stderr and drop its chatter.
void quiet_log();

/// The library's own list of instruction sets.
std::string system_information();

}  // namespace bridge
