// One head turned by a warp: elements i and i + TURNED of the first 2 TURNED, by position * frequency[i]; normed before
// where NORMED. Macros: WIDTH, TURNED, SCALE (of cosine and sine), NORMED (0 or 1), EPS.

template <class To, class Norm>
DEVICE void turn(To* to, const float* from, const Norm* w, float position, const float* frequencies) {
    const int lane = threadIdx.x % 32;
    float factor = 1.0f;
    if (NORMED) {
        float sum = 0.0f;
        for (int i = lane; i < WIDTH; i += 32) sum += from[i] * from[i];
        factor = 1.0f / sqrtf(warp_sum(sum) / (float)WIDTH + EPS);
    }
    for (int i = lane; i < TURNED; i += 32) {
        const float angle = position * frequencies[i];
        const float cosine = cosf(angle) * SCALE, sine = sinf(angle) * SCALE;
        float a = from[i] * factor, b = from[i + TURNED] * factor;
        if (NORMED) a *= to_f32(w[i]), b *= to_f32(w[i + TURNED]);
        to[i] = from_f32<To>(a * cosine - b * sine);
        to[i + TURNED] = from_f32<To>(b * cosine + a * sine);
    }
    for (int i = 2 * TURNED + lane; i < WIDTH; i += 32) {
        to[i] = from_f32<To>(from[i] * factor * (NORMED ? to_f32(w[i]) : 1.0f));
    }
}
