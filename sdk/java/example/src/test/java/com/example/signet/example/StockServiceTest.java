package com.example.signet.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.example.signet.sdk.GuardInterceptor;
import com.example.signet.sdk.Policy;
import com.example.signet.sdk.Verifier;
import com.example.signet.sdk.testing.TestIssuer;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.InsecureServerCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import stock.v1.StockServiceGrpc;
import stock.v1.StockServiceGrpc.StockServiceBlockingStub;
import stock.v1.StockServiceOuterClass.GetItemRequest;
import stock.v1.StockServiceOuterClass.ListItemsRequest;
import stock.v1.StockServiceOuterClass.RestockItemRequest;
import stock.v1.StockServiceOuterClass.TakeItemRequest;
import stock.v1.StockServiceOuterClass.WatchItemRequest;
import stock.v1.StockServiceOuterClass.WatchItemResponse;

/** How a team tests the rules of its service, without a Signet. */
class StockServiceTest {
    private final TestIssuer issuer = TestIssuer.create();
    private final Verifier verifier = issuer.verifier("stock").build();
    private final StockService stock = new StockService(new Stock());
    private Server server;
    private ManagedChannel channel;

    @BeforeEach
    void start() throws Exception {
        server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                .addService(stock)
                .intercept(GuardInterceptor.of(verifier, Policy.of(stock)))
                .build()
                .start();
        channel = Grpc.newChannelBuilder("127.0.0.1:" + server.getPort(), InsecureChannelCredentials.create()).build();
    }

    @AfterEach
    void stop() {
        channel.shutdownNow();
        server.shutdownNow();
        verifier.close();
    }

    @Test
    void everybodySeesWhichItemsThereAre() {
        var names = StockServiceGrpc.newBlockingStub(channel).listItems(ListItemsRequest.getDefaultInstance()).getNamesList();
        assertEquals(java.util.List.of("bolt", "crane"), names);
    }

    @Test
    void whoHasATokenAsksAndWhoHasTheScopeTakes() {
        StockServiceBlockingStub reader = as(issuer.user("alice").audiences("stock").sign());
        assertEquals(1_000, reader.getItem(GetItemRequest.newBuilder().setName("bolt").build()).getCount());
        refused(Status.Code.PERMISSION_DENIED, () -> reader.takeItem(TakeItemRequest.newBuilder().setName("bolt").build()));
        StockServiceBlockingStub writer = as(issuer.client("robot").audiences("stock").scopes("stock:write").sign());
        var taken = writer.takeItem(TakeItemRequest.newBuilder().setName("bolt").build());
        assertEquals(999, taken.getCount());
        assertEquals(TestIssuer.id("robot"), taken.getCallerId());
        refused(Status.Code.NOT_FOUND, () -> writer.takeItem(TakeItemRequest.newBuilder().setName("moon").build()));
        refused(Status.Code.UNAUTHENTICATED,
                () -> StockServiceGrpc.newBlockingStub(channel).getItem(GetItemRequest.newBuilder().setName("bolt").build()));
    }

    @Test
    void stockersRestock() {
        RestockItemRequest request = RestockItemRequest.newBuilder().setName("bolt").setCount(5).build();
        refused(Status.Code.PERMISSION_DENIED, () -> as(issuer.user("alice").audiences("stock").roles("boss").sign()).restockItem(request));
        refused(Status.Code.PERMISSION_DENIED, () -> as(issuer.client("robot").audiences("stock").roles("stocker").sign()).restockItem(request));
        StockServiceBlockingStub stocker = as(issuer.user("alice").audiences("stock").roles("stocker").sign());
        assertEquals(1_005, stocker.restockItem(request).getCount());
        refused(Status.Code.OUT_OF_RANGE, () -> stocker.restockItem(request.toBuilder().setCount(-1).build()));
    }

    @Test
    void whoWatchesIsToldAndStopsWithTheSession() {
        Iterator<WatchItemResponse> watch =
                as(issuer.user("alice").audiences("stock").sign()).watchItem(WatchItemRequest.newBuilder().setName("crane").build());
        assertEquals(1_000, watch.next().getCount());
        as(issuer.user("bob").audiences("stock").scopes("stock:write").sign()).takeItem(TakeItemRequest.newBuilder().setName("crane").build());
        assertEquals(999, watch.next().getCount());
        issuer.revokeSession("alice");
        refused(Status.Code.UNAUTHENTICATED, watch::hasNext);
    }

    private StockServiceBlockingStub as(String token) {
        return StockServiceGrpc.newBlockingStub(channel).withCallCredentials(TestIssuer.bearer(token));
    }

    private static void refused(Status.Code code, Executable call) {
        assertEquals(code, assertThrows(StatusRuntimeException.class, call).getStatus().getCode());
    }
}
