import java.io.ByteArrayInputStream;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.Base64;
import org.eclipse.jetty.http.HttpException;
import org.eclipse.jetty.http.HttpFields;
import org.eclipse.jetty.io.EndPoint.SslSessionData;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.Request;

/** The client's certificate as the gate tells it (RFC 9440). */
public final class ClientCertCustomizer implements HttpConfiguration.Customizer {
    @Override
    public Request customize(Request request, HttpFields.Mutable responseHeaders) {
        String field = request.getHeaders().get("Client-Cert");
        if (field != null) {
            SslSessionData known = (SslSessionData) request.getAttribute(SslSessionData.ATTRIBUTE);
            String session = known == null ? null : known.sslSessionId();
            String cipher = known == null ? null : known.cipherSuite();
            request.setAttribute(SslSessionData.ATTRIBUTE, SslSessionData.from(null, session, cipher, read(field)));
        }
        return request;
    }

    private static X509Certificate[] read(String field) {
        try {
            byte[] der = Base64.getDecoder().decode(field.substring(1, field.length() - 1));
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            return new X509Certificate[] {(X509Certificate) factory.generateCertificate(new ByteArrayInputStream(der))};
        } catch (CertificateException | IllegalArgumentException e) {
            throw new HttpException.RuntimeException(400, "Client-Cert", e);
        }
    }
}
