#include "library/generation.hpp"

#include <string>

#include "library/bad_input.hpp"
#include "library/sampler.hpp"

namespace bitnet::library {
namespace {

// What generation needs of a vocabulary; a file without one that can be read gives empty pieces and no ends.
struct Pieces {
    const Tokenizer* tokenizer = nullptr;

    explicit Pieces(const OpenModel& model) {
        try {
            tokenizer = &model.tokenizer();
        } catch (const BadInput&) {
        }
    }
    bool is_end(std::int32_t token) const { return tokenizer != nullptr && tokenizer->is_end(token); }
    std::string of(std::int32_t token) const {
        const bool has_piece =
            tokenizer != nullptr && std::size_t(token) < tokenizer->vocabulary().tokens.size();
        return has_piece ? tokenizer->piece(token) : "";
    }
};

// Whether to go on.
bool hand_out(const OpenSession& session, const Pieces& pieces, std::int32_t token, bool is_end,
              bitnet_stream_function stream, void* user) {
    if (stream == nullptr) return true;
    const std::string piece = is_end ? "" : pieces.of(token);
    const bitnet_generated generated{.token = token,
                                     .position = session.position(),
                                     .is_end = is_end ? 1 : 0,
                                     .piece_size = std::int32_t(piece.size()),
                                     .piece = piece.c_str(),
                                     .logits = session.logits(session.position() - 1),
                                     .n_vocab = session.model().shape().n_vocab};
    return stream(user, &generated) == 0;
}

}  // namespace

std::int32_t next_token(const OpenSession& session, const bitnet_generation_config& config) {
    const float* logits = session.logits(session.position() - 1);
    return choose_token({logits, std::size_t(session.model().shape().n_vocab)}, session.tokens(), config);
}

std::vector<std::int32_t> generate(OpenSession& session, std::span<const std::int32_t> ids,
                                   const bitnet_generation_config& config, bitnet_stream_function stream,
                                   void* user) {
    check(config);
    const Pieces pieces(session.model());
    if (!ids.empty()) session.run(ids.data(), int(ids.size()), Step::prefill, LogitsOf::last);
    std::vector<std::int32_t> generated;
    while (int(generated.size()) < config.max_tokens) {
        const std::int32_t token = next_token(session, config);
        generated.push_back(token);
        const bool is_end = pieces.is_end(token);
        if (!hand_out(session, pieces, token, is_end, stream, user)) break;
        if (is_end && config.ignore_end == 0) break;
        if (int(generated.size()) == config.max_tokens || session.position() == session.context()) break;
        session.run(&token, 1, Step::decode, LogitsOf::last);
    }
    return generated;
}

}  // namespace bitnet::library
