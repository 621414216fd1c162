// A model in several GGUF files, NAME-00001-of-00003.gguf and so on, as llama-gguf-split writes it.  The sentences are those of
// bitparity.model.gguf_shards.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "library/gguf.hpp"

namespace bitnet::library {

// Whether a metadata key tells how a model was split, and nothing of the model.
bool is_of_shards(std::string_view key);

// The files that belong to a first shard, in order; none for a model in one file.  Throws BadInput for a shard that is
// not the first, and for a name from which the others' do not follow.
std::vector<std::string> other_shards(const std::string& first, const Metadata& metadata);

// Throws BadInput unless a file says that it is the shard of this number, from 0 on.
void require_number(const Metadata& metadata, std::int64_t number);

}  // namespace bitnet::library
