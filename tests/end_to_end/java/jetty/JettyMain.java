import java.net.InetSocketAddress;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.ee10.websocket.jakarta.server.config.JakartaWebSocketServletContainerInitializer;
import org.eclipse.jetty.server.ForwardedRequestCustomizer;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/** A Jetty as anybody would start it, on a free port of the loopback address, which it prints. */
public final class JettyMain {
    public static void main(String[] arguments) throws Exception {
        Server server = new Server(new InetSocketAddress("127.0.0.1", 0));
        ServletContextHandler context = new ServletContextHandler("/");
        for (String name : Service.MAPPINGS) {
            ServletHolder holder = new ServletHolder(name, Service.class);
            context.addServlet(holder, "/" + name + "/*");
        }
        JakartaWebSocketServletContainerInitializer.configure(context, (servlet, container) -> container.addEndpoint(Echo.class));
        server.setHandler(context);
        ServerConnector connector = (ServerConnector) server.getConnectors()[0];
        HttpConfiguration configuration = connector.getConnectionFactory(HttpConnectionFactory.class).getHttpConfiguration();
        configuration.addCustomizer(new ForwardedRequestCustomizer());
        configuration.addCustomizer(new ClientCertCustomizer());
        server.start();
        System.out.println("LISTENING " + connector.getLocalPort());
        server.join();
    }
}
