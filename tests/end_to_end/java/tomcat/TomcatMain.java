import java.nio.file.Files;
import java.util.Set;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.valves.SSLValve;
import org.apache.coyote.http2.Http2Protocol;
import org.apache.tomcat.websocket.server.WsSci;

/** A Tomcat as anybody would start it, on a free port of the loopback address, which it prints. */
public final class TomcatMain {
    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        Connector connector = new Connector();
        connector.setProperty("address", "127.0.0.1");
        connector.setPort(0);
        connector.addUpgradeProtocol(new Http2Protocol()); // without TLS, and only for those who begin with it
        tomcat.setConnector(connector);
        tomcat.getHost().getPipeline().addValve(new SSLValve());
        Context context = tomcat.addContext("", null);
        for (String name : Service.MAPPINGS) {
            Tomcat.addServlet(context, name, "Service");
            context.addServletMappingDecoded("/" + name + "/*", name);
        }
        // The container asks its filters, and so its WebSocket endpoints, only about paths that some servlet serves.
        Tomcat.addServlet(context, "default", "org.apache.catalina.servlets.DefaultServlet");
        context.addServletMappingDecoded("/", "default");
        context.addServletContainerInitializer(new WsSci(), Set.of(Echo.class));
        tomcat.start();
        System.out.println("LISTENING " + connector.getLocalPort());
        tomcat.getServer().await();
    }
}
