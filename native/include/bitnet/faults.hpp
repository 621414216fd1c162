// Deliberate faults that prove the harness finds them.  They are those that no hyperparameter or tensor can
// express (wrong activation, RoPE pairs, sub-norms and epsilon are made by opening a session with altered
// ones). Sessions read them outside of kernels; the defaults are no fault.
#pragma once

namespace bitnet {

struct Faults {
    int kv_head_shift = 0;        // query heads use the KV head this many further on, modulo their number
    int stale_kv_row = -1;        // the cache row of this position is never written
    int position_shift = 0;       // added to every position that RoPE sees
    bool truncate_codes = false;  // int8 activations are rounded towards zero
};

}  // namespace bitnet
