// A row of f32 times a row of a weight, by the lanes of a warp, 32 values each; every lane gets the sum.

template <class Format>
DEVICE float dot(const float* x, const u8* w, int width, int lane) {
    float sum = 0.0f;
    for (int g = lane; g < (width + 31) / 32; g += 32) {
        const int left = width - g * 32 < 32 ? width - g * 32 : 32;
        float values[32];
        Format::decode(w, g, left, values);
        float part = 0.0f;
        for (int i = 0; i < left; i++) part += x[g * 32 + i] * values[i];
        sum += part;
    }
    return warp_sum(sum);
}
