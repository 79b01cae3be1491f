import jakarta.websocket.OnMessage;
import jakarta.websocket.OnOpen;
import jakarta.websocket.Session;
import jakarta.websocket.server.HandshakeRequest;
import jakarta.websocket.server.ServerEndpoint;
import jakarta.websocket.server.ServerEndpointConfig;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import jakarta.websocket.HandshakeResponse;

/** Sends back what it is sent; "who" is answered with the client's name that came with the upgrade. */
@ServerEndpoint(value = "/ws", configurator = Echo.Names.class)
public final class Echo {
    private static final int LARGEST_MESSAGE_BYTES = 1 << 22;

    private String name;

    /** Keeps what the gate said in the headers of the upgrade. */
    public static final class Names extends ServerEndpointConfig.Configurator {
        @Override
        public void modifyHandshake(ServerEndpointConfig config, HandshakeRequest request, HandshakeResponse response) {
            for (Map.Entry<String, List<String>> header : request.getHeaders().entrySet()) {
                if (header.getKey().equalsIgnoreCase("Mutualgate-Client")) {
                    config.getUserProperties().put("name", String.join(",", header.getValue()));
                }
            }
        }
    }

    @OnOpen
    public void open(Session session) {
        session.setMaxTextMessageBufferSize(LARGEST_MESSAGE_BYTES);
        session.setMaxBinaryMessageBufferSize(LARGEST_MESSAGE_BYTES);
        name = String.valueOf(session.getUserProperties().get("name"));
    }

    @OnMessage
    public String text(String message) {
        return message.equals("who") ? name : message;
    }

    @OnMessage
    public ByteBuffer bytes(ByteBuffer message) {
        return message;
    }
}
