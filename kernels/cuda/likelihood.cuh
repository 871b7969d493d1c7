// How a row of logits becomes a token, in the whole numbers of `graph::Sampler`: sums of weights are exact in any order,
// so a draw has one meaning on every machine. Each step is rounded by itself and none is fused, as there.

struct Peak {
    float largest;
    int place;
};

// How a row is to be sampled: halvings of the weight per unit of logit, whether it is drawn, the uniform number.
struct Wish {
    float steepness;
    int drawn;
    double uniform;
};

// What is told of a row. Masses are of the row as it came, at a temperature of one.
struct Chosen {
    int id;
    float logit;
    float largest;
    int unused;
    u64 mass;
};

// What a logit weighs against the largest, in units of 2^-39.
DEVICE u64 weight_of(float logit, float largest, float steepness) {
    float fall = __fmul_rn(__fsub_rn(largest, logit), steepness);
    fall = fall < 40.0f ? fall : 40.0f;
    const float shifted = __fadd_rn(fall, 12582912.0f);
    const float x = __fsub_rn(__fsub_rn(shifted, 12582912.0f), fall);
    float q = 0.00015453163f;
    q = __fadd_rn(0.0013390863f, __fmul_rn(x, q));
    q = __fadd_rn(0.009618083f, __fmul_rn(x, q));
    q = __fadd_rn(0.05550357f, __fmul_rn(x, q));
    q = __fadd_rn(0.2402265f, __fmul_rn(x, q));
    q = __fadd_rn(0.6931472f, __fmul_rn(x, q));
    const float scale = __uint_as_float((127u - __float_as_uint(shifted)) << 23);
    const float likelihood = __fmul_rn(__fadd_rn(1.0f, __fmul_rn(x, q)), scale);
    // 2^52 / 2^39: adding it leaves the likelihood's whole units in the low bits.
    const double fixed = __dadd_rn((double)likelihood, 8192.0);
    return (u64)__double_as_longlong(fixed) - (u64)__double_as_longlong(8192.0);
}

// The largest of a row, from the peaks of its chunks; place 0 where all are minus infinity.
DEVICE Peak row_peak(const Peak* peaks, int chunks) {
    Peak best = peaks[0];
    for (int i = 1; i < chunks; i++) {
        if (peaks[i].largest > best.largest) best = peaks[i];
    }
    if (best.largest == -INFINITY) best.place = 0;
    return best;
}

// Halvings per unit of logit at a temperature of one: log2 e.
#define LOG2_E 1.44269504f
