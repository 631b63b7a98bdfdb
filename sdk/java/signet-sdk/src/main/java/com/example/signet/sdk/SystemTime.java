package com.example.signet.sdk;

import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** The system's clock, with one daemon thread for what is due later, while something is. */
final class SystemTime implements TimeSource {
    static final SystemTime INSTANCE = new SystemTime(Duration.ofSeconds(30));

    private static final System.Logger LOG = System.getLogger(SystemTime.class.getName());

    private final ScheduledThreadPoolExecutor timers = new ScheduledThreadPoolExecutor(1, Threads.daemons("signet-timer"));

    /** {@code idle} is how long the thread stays when nothing is due any more. */
    SystemTime(Duration idle) {
        timers.setKeepAliveTime(Times.nanos(idle), TimeUnit.NANOSECONDS);
        timers.allowCoreThreadTimeOut(true);
        // Else the timer of each stream that has ended stays until it would have been due.
        timers.setRemoveOnCancelPolicy(true);
    }

    @Override
    public Instant now() {
        return Instant.now();
    }

    @Override
    public long nanos() {
        return System.nanoTime();
    }

    @Override
    public Timer schedule(Duration delay, Runnable task) {
        ScheduledFuture<?> due = timers.schedule(() -> run(task), Times.nanos(delay), TimeUnit.NANOSECONDS);
        return () -> due.cancel(false);
    }

    private static void run(Runnable task) {
        try {
            task.run();
        } catch (RuntimeException defect) {
            LOG.log(System.Logger.Level.ERROR, "a task that was due has failed", defect);
        }
    }
}
