
// ---- the entry through which the host launches: appended to every kernel's text

namespace host {

template <class T>
inline T argument(unsigned long long bits) {
    T value;
    static_assert(sizeof(T) == 8, "arguments of kernels are 8 bytes each");
    memcpy(&value, &bits, 8);
    return value;
}
template <int... I> struct Places {};
template <int N, int... I> struct Count : Count<N - 1, N - 1, I...> {};
template <int... I> struct Count<0, I...> { typedef Places<I...> type; };

template <class... A, int... I>
inline void call(void (*kernel)(A...), const unsigned long long* arguments, Places<I...>) {
    kernel(argument<A>(arguments[I])...);
}
template <class... A>
inline void call(void (*kernel)(A...), const unsigned long long* arguments) {
    call(kernel, arguments, typename Count<sizeof...(A)>::type());
}

static void thread_main() {
    call(&POLYSILICON_ENTRY, (const unsigned long long*)entry_arguments);
    self->done = true;
    leave(&barrier);
    leave(&warps[self->warp].barrier);
    give_up();
}

// Runs the threads of one block to their end; false where some wait for ever.
static bool run_block(unsigned char* stacks, long stack_bytes, bool backwards) {
    const int threads = (int)dims.x;
    barrier = Barrier{threads, 0, 0};
    for (int w = 0; w < (threads + 31) / 32; w++) {
        warps[w].barrier = Barrier{threads - w * 32 < 32 ? threads - w * 32 : 32, 0, 0};
    }
    for (int t = 0; t < threads; t++) {
        Fiber& f = fibers[t];
        f.stack = prepare(stacks + t * stack_bytes, stack_bytes, thread_main);
        f.thread = Three{(unsigned)t, 0, 0};
        f.waits = 0;
        f.warp = t / 32;
        f.lane = t % 32;
        f.parity = 0;
        f.copied = 0;
        f.done = false;
    }
    for (int left = threads; left > 0;) {
        bool moved = false;
        for (int i = 0; i < threads; i++) {
            Fiber& f = fibers[backwards ? threads - 1 - i : i];
            if (f.done || (f.waits && f.waits->generation == f.generation)) continue;
            self = &f;
            host_switch(&scheduler, f.stack);
            moved = true;
            if (f.done) left--;
        }
        if (!moved) return false;
    }
    return true;
}

}  // namespace host

struct HostLaunch {
    unsigned grid[3];
    unsigned threads;
    unsigned shared_bytes;
    unsigned backwards;
    unsigned char* stacks;
    long stack_bytes;
    unsigned char* shared;
};

// 0, or 1 where threads of a block wait for ever.
extern "C" __attribute__((visibility("default"))) int polysilicon_launch(const HostLaunch* launch, const unsigned long long* arguments) {
    using namespace host;
    entry_arguments = arguments;
    dims = Three{launch->threads, 1, 1};
    grid = Three{launch->grid[0], launch->grid[1], launch->grid[2]};
    dynamic_shared = launch->shared;
    const unsigned blocks = grid.x * grid.y * grid.z;
    for (unsigned b = 0; b < blocks; b++) {
        const unsigned i = launch->backwards ? blocks - 1 - b : b;
        block = Three{i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y};
        memset(launch->shared, 0xff, launch->shared_bytes);
        if (!run_block(launch->stacks, launch->stack_bytes, launch->backwards != 0)) return 1;
    }
    return 0;
}
