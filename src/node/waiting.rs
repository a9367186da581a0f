//! What waits in the kernel is read before a timer is judged (ELECTION 3).

/// Lets the tasks that read connections run, with what waits for them in the kernel.
///
/// The loop of the node is the main future of its runtime. After the first `yield_now` the runtime has
/// asked the kernel, but goes on with the main future, before the tasks that have something to read. The
/// second one lets these run.
pub(super) async fn let_others_read() {
    for _ in 0..2 {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream as Std;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;
    use tokio::sync::mpsc;

    /// The bytes come while the main future is busy.
    #[tokio::test(flavor = "current_thread")]
    async fn who_has_something_to_read_has_read_it() {
        let (mut far, near) = Std::pair().expect("a pair");
        near.set_nonblocking(true).expect("set");
        let mut near = UnixStream::from_std(near).expect("taken");
        let (read, mut inputs) = mpsc::channel(8);
        let reader = tokio::spawn(async move {
            let mut byte = [0];
            while near.read_exact(&mut byte).await.is_ok() {
                read.send(byte[0]).await.expect("somebody listens");
            }
        });
        let_others_read().await;
        assert!(inputs.try_recv().is_err(), "it waits");
        for byte in 0..3 {
            far.write_all(&[byte]).expect("written");
            let_others_read().await;
            assert_eq!(inputs.try_recv(), Ok(byte));
        }
        drop(far);
        reader.await.expect("it ends");
    }
}
