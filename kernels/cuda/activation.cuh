// Gated activations of a gate `g` and a value `u`: ACTIVATION is one of silu, gelu, gelu_tanh, relu, clamped, the last
// with ALPHA and LIMIT.

#ifndef ALPHA
#define ALPHA 0.0f
#define LIMIT 0.0f
#endif

DEVICE float silu(float g, float u) {
    return g * sigmoid(g) * u;
}
DEVICE float gelu(float g, float u) {
    return g * 0.5f * (1.0f + erff(g * 0.70710678f)) * u;
}
DEVICE float gelu_tanh(float g, float u) {
    return g * 0.5f * (1.0f + tanhf(0.79788456f * (g + 0.044715f * g * g * g))) * u;
}
DEVICE float relu(float g, float u) {
    return fmaxf(g, 0.0f) * u;
}
DEVICE float clamped(float g, float u) {
    const float gate = fminf(g, LIMIT), up = fminf(fmaxf(u, -LIMIT), LIMIT);
    return gate * sigmoid(ALPHA * gate) * (up + 1.0f);
}
