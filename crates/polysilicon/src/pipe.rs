//! What a generation tells, on its way from the model's thread to one reader.
//!
//! A pipe holds no more than [`CAPACITY`] messages and what steps in flight still bring. Whoever writes learns that it is
//! full and pauses that one sequence, so a reader that stalls stalls nobody else; whoever reads says when there is room
//! again. Readers block, or are woken.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Messages that wait for a reader before its sequence is paused.
pub(crate) const CAPACITY: usize = 256;

/// A new pipe.
pub(crate) fn pipe<T>() -> (Writer<T>, Reader<T>) {
    let shared = Arc::new(Shared { state: Mutex::new(State::default()), filled: Condvar::new() });
    (Writer(shared.clone()), Reader(shared))
}

/// The end that the model's thread holds.
pub(crate) struct Writer<T>(Arc<Shared<T>>);

/// The end that a stream holds.
pub(crate) struct Reader<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    messages: VecDeque<T>,
    waker: Option<Waker>,
    /// Whether nothing more will be written.
    ended: bool,
    /// Whether the writer was told that the pipe is full, and the reader has not made room since.
    is_full: bool,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        State { messages: VecDeque::new(), waker: None, ended: false, is_full: false }
    }
}

impl<T> Shared<T> {
    /// Nobody panics while holding the lock, and if somebody did, the messages would still be whole.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        let waker = state.waker.take();
        drop(state);
        self.filled.notify_one();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Writer<T> {
    /// Writes a message; whether the reader should be waited for now.
    pub fn write(&self, message: T) -> bool {
        let mut state = self.0.lock();
        state.messages.push_back(message);
        let fills = !state.is_full && state.messages.len() >= CAPACITY;
        state.is_full |= fills;
        self.0.wake(state);
        fills
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        self.0.wake(state);
    }
}

impl<T> Reader<T> {
    /// Waits for a message; `None` where none will come. Whether the writer waits for room that there is now.
    pub fn read(&self) -> (Option<T>, bool) {
        let mut state = self.0.lock();
        loop {
            match take(&mut state) {
                Poll::Ready(result) => return result,
                Poll::Pending => {
                    state = self.0.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// As [`Reader::read`], without waiting: the task is woken when there is something.
    pub fn poll_read(&self, context: &mut Context<'_>) -> Poll<(Option<T>, bool)> {
        let mut state = self.0.lock();
        let result = take(&mut state);
        if result.is_pending() {
            state.waker = Some(context.waker().clone());
        }
        result
    }
}

fn take<T>(state: &mut State<T>) -> Poll<(Option<T>, bool)> {
    match state.messages.pop_front() {
        Some(message) => {
            let makes_room = state.is_full && state.messages.len() <= CAPACITY / 2;
            state.is_full &= !makes_room;
            Poll::Ready((Some(message), makes_room))
        }
        None if state.ended => Poll::Ready((None, false)),
        None => Poll::Pending,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_full_pipe_is_told_once_and_room_once() {
        let (writer, reader) = pipe();
        let told = (0..CAPACITY + 2).filter(|&message| writer.write(message)).collect::<Vec<_>>();
        assert_eq!(told, [CAPACITY - 1]);
        let room =
            (0..CAPACITY + 2).filter(|&message| reader.read() == (Some(message), true)).collect::<Vec<_>>();
        assert_eq!(room, [CAPACITY / 2 + 1]);
        let again = (0..CAPACITY).filter(|&message| writer.write(message)).count();
        assert_eq!(again, 1);
    }

    #[test]
    fn a_task_is_woken_by_a_message_and_by_the_end() {
        let (writer, reader) = pipe();
        let bell = Arc::new(Bell(AtomicUsize::new(0)));
        let waker = Waker::from(bell.clone());
        let mut context = Context::from_waker(&waker);
        assert!(reader.poll_read(&mut context).is_pending());
        writer.write(1);
        assert_eq!(bell.0.load(Ordering::SeqCst), 1);
        assert_eq!(reader.poll_read(&mut context), Poll::Ready((Some(1), false)));
        assert!(reader.poll_read(&mut context).is_pending());
        drop(writer);
        assert_eq!(bell.0.load(Ordering::SeqCst), 2);
        assert_eq!(reader.read(), (None, false));
    }
}
