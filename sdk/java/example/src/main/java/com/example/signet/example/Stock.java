package com.example.signet.example;

import java.util.List;
import java.util.OptionalInt;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

/** What there is of each item, in memory. */
final class Stock {
    /** How many there may be of one. */
    static final int MOST = 1_000_000;

    private static final int AT_FIRST = 1_000;

    private final TreeMap<String, Integer> counts = new TreeMap<>();
    private final List<Consumer<String>> watchers = new CopyOnWriteArrayList<>();

    Stock() {
        counts.put("bolt", AT_FIRST);
        counts.put("crane", AT_FIRST);
    }

    synchronized List<String> names() {
        return List.copyOf(counts.keySet());
    }

    /** Empty if there is no such item. */
    synchronized OptionalInt count(String name) {
        Integer count = counts.get(name);
        return count == null ? OptionalInt.empty() : OptionalInt.of(count);
    }

    /** Changes the count of an item that there is; false if that would be less than none, or too much. */
    boolean change(String name, long by) {
        synchronized (this) {
            long count = counts.get(name) + by;
            if (count < 0 || count > MOST) {
                return false;
            }
            counts.put(name, (int) count);
        }
        watchers.forEach(watcher -> watcher.accept(name));
        return true;
    }

    /** Calls {@code watcher} with the name of each item that changes, until what is returned is run. */
    Runnable watch(Consumer<String> watcher) {
        watchers.add(watcher);
        return () -> watchers.remove(watcher);
    }
}
