package com.example.signet.example;

import com.example.signet.sdk.Caller;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.function.Supplier;
import stock.v1.StockServiceGrpc;
import stock.v1.StockServiceOuterClass.GetItemRequest;
import stock.v1.StockServiceOuterClass.GetItemResponse;
import stock.v1.StockServiceOuterClass.ListItemsRequest;
import stock.v1.StockServiceOuterClass.ListItemsResponse;
import stock.v1.StockServiceOuterClass.RestockItemRequest;
import stock.v1.StockServiceOuterClass.RestockItemResponse;
import stock.v1.StockServiceOuterClass.TakeItemRequest;
import stock.v1.StockServiceOuterClass.TakeItemResponse;
import stock.v1.StockServiceOuterClass.WatchItemRequest;
import stock.v1.StockServiceOuterClass.WatchItemResponse;

/** The RPCs of the warehouse. Who may call them, their proto says; here is only what they do. */
final class StockService extends StockServiceGrpc.StockServiceImplBase {
    private final Stock stock;

    StockService(Stock stock) {
        this.stock = stock;
    }

    @Override
    public void listItems(ListItemsRequest request, StreamObserver<ListItemsResponse> answer) {
        answer(answer, () -> ListItemsResponse.newBuilder().addAllNames(stock.names()).build());
    }

    @Override
    public void getItem(GetItemRequest request, StreamObserver<GetItemResponse> answer) {
        answer(answer, () -> GetItemResponse.newBuilder().setCount(count(request.getName())).setCallerId(caller()).build());
    }

    @Override
    public void takeItem(TakeItemRequest request, StreamObserver<TakeItemResponse> answer) {
        answer(answer, () -> {
            count(request.getName());
            if (!stock.change(request.getName(), -1)) {
                throw Status.FAILED_PRECONDITION.withDescription("there is none left").asRuntimeException();
            }
            return TakeItemResponse.newBuilder().setCount(count(request.getName())).setCallerId(caller()).build();
        });
    }

    @Override
    public void restockItem(RestockItemRequest request, StreamObserver<RestockItemResponse> answer) {
        answer(answer, () -> {
            count(request.getName());
            if (!stock.change(request.getName(), Integer.toUnsignedLong(request.getCount()))) {
                throw Status.OUT_OF_RANGE.withDescription("there may be a million").asRuntimeException();
            }
            return RestockItemResponse.newBuilder().setCount(count(request.getName())).build();
        });
    }

    @Override
    public void watchItem(WatchItemRequest request, StreamObserver<WatchItemResponse> answer) {
        if (stock.count(request.getName()).isEmpty()) {
            answer.onError(notFound());
            return;
        }
        ItemWatch watch = new ItemWatch(request.getName(), (ServerCallStreamObserver<WatchItemResponse>) answer);
        Runnable end = stock.watch(watch::changed);
        watch.stream.setOnCancelHandler(end);
        watch.stream.setOnReadyHandler(watch::send);
        watch.changed(request.getName());
    }

    private int count(String name) {
        return stock.count(name).orElseThrow(StockService::notFound);
    }

    private static StatusRuntimeException notFound() {
        return Status.NOT_FOUND.withDescription("there is no such item").asRuntimeException();
    }

    private static String caller() {
        return Caller.current().map(Caller::id).orElse("");
    }

    private static <A> void answer(StreamObserver<A> observer, Supplier<A> answer) {
        A value;
        try {
            value = answer.get();
        } catch (StatusRuntimeException refused) {
            observer.onError(refused);
            return;
        }
        observer.onNext(value);
        observer.onCompleted();
    }

    /** One who watches an item: told the newest count, as soon as there is room for it. */
    private final class ItemWatch {
        private final String name;
        private final ServerCallStreamObserver<WatchItemResponse> stream;
        private boolean isDue;

        ItemWatch(String name, ServerCallStreamObserver<WatchItemResponse> stream) {
            this.name = name;
            this.stream = stream;
        }

        synchronized void changed(String changed) {
            if (changed.equals(name)) {
                isDue = true;
                send();
            }
        }

        synchronized void send() {
            if (isDue && !stream.isCancelled() && stream.isReady()) {
                isDue = false;
                stream.onNext(WatchItemResponse.newBuilder().setCount(count(name)).build());
            }
        }
    }
}
