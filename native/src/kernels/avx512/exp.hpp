// e^x by scaling, softmax and SiLU: as portable/exp.hpp, sixteen elements at a time.
#pragma once

#include "../avx2/exp.hpp"
#include "vectors.hpp"

namespace bitnet::avx512 {
namespace {

__m512 exp_by_scaling(__m512 x) {
    const __m512 shift = _mm512_set1_ps(0x1.8p23f);
    const __m512 n = _mm512_sub_ps(_mm512_fmadd_ps(x, _mm512_set1_ps(0x1.715476p+0f), shift), shift);
    const __m512 high = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x);
    const __m512 b = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), high), u = _mm512_mul_ps(b, b);
    const __m512 upper = _mm512_fmadd_ps(_mm512_set1_ps(0x1.0e4020p-7f), b, _mm512_set1_ps(0x1.573e2ep-5f));
    const __m512 lower = _mm512_fmadd_ps(_mm512_set1_ps(0x1.555e66p-3f), b, _mm512_set1_ps(0x1.fffdb6p-2f));
    const __m512 linear = _mm512_fmadd_ps(_mm512_set1_ps(0x1.ffffecp-1f), b, _mm512_set1_ps(1.0f));
    const __m512 p = _mm512_fmadd_ps(_mm512_fmadd_ps(upper, u, lower), u, linear);
    const __mmask16 is_beyond = _mm512_cmp_ps_mask(_mm512_abs_ps(n), _mm512_set1_ps(192.0f), _CMP_GT_OQ);
    const __mmask16 is_positive = _mm512_cmp_ps_mask(n, _mm512_setzero_ps(), _CMP_GT_OQ);
    const __m512 limit = _mm512_maskz_mov_ps(is_positive, _mm512_set1_ps(__builtin_inff()));
    return _mm512_mask_mov_ps(_mm512_scalef_ps(p, n), is_beyond, limit);
}

void softmax(float* row, int n, float scale) {
    const __m512 top = _mm512_set1_ps(avx2::scale_row(row, n, scale));
    double sum = 0.0;
    for (int i = 0; i < n; i += Sixteen::lanes) {
        const __m512 value = exp_by_scaling(_mm512_sub_ps(_mm512_loadu_ps(row + i), top));
        _mm512_storeu_ps(row + i, value);
        sum += double(add_lanes_as_halves(value));
    }
    const __m512 inverse = _mm512_set1_ps(float(1.0 / sum));
    for (int i = 0; i < n; i += Sixteen::lanes)
        _mm512_storeu_ps(row + i, _mm512_mul_ps(_mm512_loadu_ps(row + i), inverse));
}

void silu_mul(const float* gate, const float* up, int n, float* out) {
    const __m512 one = _mm512_set1_ps(1.0f);
    const int in_lanes = n / Sixteen::lanes * Sixteen::lanes;
    for (int i = 0; i < in_lanes; i += Sixteen::lanes) {
        const __m512 x = _mm512_loadu_ps(gate + i);
        const __m512 decay = exp_by_scaling(_mm512_sub_ps(_mm512_setzero_ps(), x));
        const __m512 silu = _mm512_div_ps(x, _mm512_add_ps(one, decay));
        _mm512_storeu_ps(out + i, _mm512_mul_ps(silu, _mm512_loadu_ps(up + i)));
    }
    for (int i = in_lanes; i < n; ++i) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

}  // namespace
}  // namespace bitnet::avx512
