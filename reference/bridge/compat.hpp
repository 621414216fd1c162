// The differences between the two generations of llama.h, in one place.
//
// Older: the llama.cpp that bitnet.cpp carries.  Newer: upstream, as llama-cpp-python installs it.  A call that
// only one header declares is written inside a template and guarded by `requires`: its name is looked up when
// the template is instantiated, so the branch that the header at hand does not know is never compiled.
#pragma once

#include <ggml-backend.h>
#include <llama.h>

namespace bridge::compat {

template <class Params>
llama_model* load_model(const char* path, Params params) {
    if constexpr (requires { llama_model_load_from_file(path, params); })
        return llama_model_load_from_file(path, params);
    else
        return llama_load_model_from_file(path, params);
}

template <class Model, class Params>
llama_context* make_context(Model* model, Params params) {
    if constexpr (requires { llama_init_from_model(model, params); })
        return llama_init_from_model(model, params);
    else
        return llama_new_context_with_model(model, params);
}

template <class Model>
void free_model(Model* model) {
    if constexpr (requires { llama_model_free(model); })
        llama_model_free(model);
    else
        llama_free_model(model);
}

// The functions of the vocabulary take it in the newer header, the model in the older; a fork may have some of
// each, so each function is asked for by itself.

template <class Model>
int vocabulary_size(const Model* model) {
    if constexpr (requires { llama_vocab_n_tokens(llama_model_get_vocab(model)); })
        return llama_vocab_n_tokens(llama_model_get_vocab(model));
    else
        return llama_n_vocab(model);
}

/// Arguments are those of llama_tokenize behind the first.
template <class Model, class... Arguments>
int tokenize(const Model* model, Arguments... arguments) {
    if constexpr (requires { llama_tokenize(llama_model_get_vocab(model), arguments...); })
        return llama_tokenize(llama_model_get_vocab(model), arguments...);
    else
        return llama_tokenize(model, arguments...);
}

/// Arguments are those of llama_detokenize behind the first.
template <class Model, class... Arguments>
int detokenize(const Model* model, Arguments... arguments) {
    if constexpr (requires { llama_detokenize(llama_model_get_vocab(model), arguments...); })
        return llama_detokenize(llama_model_get_vocab(model), arguments...);
    else
        return llama_detokenize(model, arguments...);
}

template <class Callback>
struct Answering;

/// A function of the type that the header at hand wants; some forks have int where the others have bool.
template <class Answer, class Ask>
struct Answering<Answer (*)(ggml_tensor*, Ask, void*)> {
    template <bool (*function)(ggml_tensor*, bool, void*)>
    static Answer call(ggml_tensor* node, Ask ask, void* data) {
        return static_cast<Answer>(function(node, static_cast<bool>(ask), data));
    }
};

/// Let the context call `function` for every node.
template <bool (*function)(ggml_tensor*, bool, void*), class Params>
void set_eval_callback(Params& params, void* data) {
    params.cb_eval = Answering<decltype(params.cb_eval)>::template call<function>;
    params.cb_eval_user_data = data;
}

/// Forget the positions >= to; false if the cache could not.
template <class Context>
bool forget_from(Context* context, llama_pos to) {
    if constexpr (requires { llama_get_memory(context); })
        return llama_memory_seq_rm(llama_get_memory(context), 0, to, -1);
    else if constexpr (requires { llama_kv_self_seq_rm(context, 0, to, -1); })
        return llama_kv_self_seq_rm(context, 0, to, -1);
    else
        return llama_kv_cache_seq_rm(context, 0, to, -1);
}

/// Flash attention changes the graph (no softmax node); the newer header's enum calls "disabled" 0.
template <class Params>
void disable_flash_attention(Params& params) {
    if constexpr (requires { params.flash_attn_type; })
        params.flash_attn_type = static_cast<decltype(params.flash_attn_type)>(0);
    else
        params.flash_attn = false;
}

/// Keep every operation on the CPU, whatever devices the library was built for.
template <class Params>
void stay_on_cpu(Params& params) {
    params.offload_kqv = false;
    if constexpr (requires { params.op_offload; }) params.op_offload = false;
}

/// Whether layers are offloaded to devices of this type.  The older header calls a full backend GPU_FULL; the newer
/// one has integrated GPUs, and counts what only helps the CPU (BLAS) as another type.
template <class Type>
bool is_accelerator(Type type) {
    if constexpr (requires { Type::GGML_BACKEND_DEVICE_TYPE_GPU_FULL; })
        if (type == Type::GGML_BACKEND_DEVICE_TYPE_GPU_FULL) return true;
    if constexpr (requires { Type::GGML_BACKEND_DEVICE_TYPE_IGPU; })
        if (type == Type::GGML_BACKEND_DEVICE_TYPE_IGPU) return true;
    return type == Type::GGML_BACKEND_DEVICE_TYPE_GPU;
}

/// Put all layers on one device.  `chosen` is the device and a null behind it, alive until the model is loaded; the
/// older header has no list of devices and takes its number.
template <class Params>
void offload_to(Params& params, int number, ggml_backend_dev_t* chosen) {
    params.n_gpu_layers = 1 << 16;  // more than any model has
    params.split_mode = LLAMA_SPLIT_MODE_NONE;
    if constexpr (requires { params.devices; }) {
        params.devices = chosen;
        params.main_gpu = 0;
    } else {
        params.main_gpu = number;
    }
}

}  // namespace bridge::compat
