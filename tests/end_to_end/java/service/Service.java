import com.nimbusds.jose.crypto.ECDSAVerifier;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jwt.SignedJWT;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.net.URI;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CertificateEncodingException;
import java.security.cert.X509Certificate;
import java.util.Collections;
import java.util.Date;
import java.util.HexFormat;

/**
 * The service behind the gate: an ordinary servlet that knows nothing of certificates and says what it was told.
 *
 * <p>Every mapping is an own servlet of the container, so that the container's reading of a path decides which one answers.
 */
public final class Service extends HttpServlet {
    /** What the container maps, each to one instance of this class under that name. */
    static final String[] MAPPINGS = {
        "hello", "public", "admin", "upload", "status", "chunked", "sse", "slow", "certificate", "token"
    };

    private static final long serialVersionUID = 1L;
    private static final int PIECE_BYTES = 1 << 16;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        switch (getServletName()) {
            case "upload" -> upload(request, response);
            case "status" -> response.sendError(Integer.parseInt(request.getPathInfo().substring(1)));
            case "chunked" -> chunked(response);
            case "sse" -> events(response);
            case "slow" -> slow(request, response);
            case "certificate" -> certificate(request, response);
            case "token" -> token(request, response);
            default -> echo(request, response);
        }
    }

    private void echo(HttpServletRequest request, HttpServletResponse response) throws IOException {
        StringBuilder headers = new StringBuilder();
        for (String name : Collections.list(request.getHeaderNames())) {
            StringBuilder values = new StringBuilder();
            for (String value : Collections.list(request.getHeaders(name))) {
                values.append(values.isEmpty() ? "" : ",").append(quote(value));
            }
            headers.append(headers.isEmpty() ? "" : ",").append(quote(name)).append(":[").append(values).append(']');
        }
        json(response, "{\"servlet\":" + quote(getServletName())
                + ",\"server\":" + quote(getServletContext().getServerInfo())
                + ",\"method\":" + quote(request.getMethod())
                + ",\"uri\":" + quote(request.getRequestURI())
                + ",\"path_info\":" + quote(request.getPathInfo())
                + ",\"query\":" + quote(request.getQueryString())
                + ",\"host\":" + quote(request.getServerName())
                + ",\"headers\":{" + headers + "}}");
    }

    private void upload(HttpServletRequest request, HttpServletResponse response) throws IOException {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
        long bytes = 0;
        byte[] piece = new byte[PIECE_BYTES];
        InputStream body = request.getInputStream();
        for (int read = body.read(piece); read >= 0; read = body.read(piece)) {
            digest.update(piece, 0, read);
            bytes += read;
        }
        json(response, "{\"bytes\":" + bytes
                + ",\"sha256\":" + quote(HexFormat.of().formatHex(digest.digest()))
                + ",\"content_length\":" + quote(request.getHeader("Content-Length"))
                + ",\"transfer_encoding\":" + quote(request.getHeader("Transfer-Encoding")) + "}");
    }

    private void chunked(HttpServletResponse response) throws IOException {
        response.setContentType("text/plain");
        OutputStream out = response.getOutputStream();
        for (int line = 0; line < 100; line++) {
            out.write(("line " + line + "\n").getBytes(StandardCharsets.UTF_8));
            out.flush();
        }
    }

    /** A first event at once and the others a second apart, until the reader has gone: who buffers shows none. */
    private void events(HttpServletResponse response) throws IOException {
        response.setContentType("text/event-stream");
        OutputStream out = response.getOutputStream();
        for (int event = 0; event < 600; event++) {
            out.write(("data: event " + event + "\n\n").getBytes(StandardCharsets.UTF_8));
            out.flush();
            sleep(1000);
        }
    }

    private void slow(HttpServletRequest request, HttpServletResponse response) throws IOException {
        sleep(Long.parseLong(request.getParameter("ms")));
        echo(request, response);
    }

    /** What the container knows of the client's certificate and connection, as if it had spoken TLS itself. */
    private static void certificate(HttpServletRequest request, HttpServletResponse response) throws IOException {
        X509Certificate[] chain = (X509Certificate[]) request.getAttribute("jakarta.servlet.request.X509Certificate");
        String digest = null;
        if (chain != null) {
            try {
                MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
                digest = HexFormat.of().formatHex(sha256.digest(chain[0].getEncoded()));
            } catch (NoSuchAlgorithmException | CertificateEncodingException e) {
                throw new IllegalStateException(e);
            }
        }
        json(response, "{\"sha256\":" + quote(digest)
                + ",\"subject\":" + quote(chain == null ? null : chain[0].getSubjectX500Principal().getName())
                + ",\"cipher\":" + quote(text(request, "cipher_suite"))
                + ",\"key_bits\":" + quote(text(request, "key_size"))
                + ",\"session\":" + quote(text(request, "ssl_session_id")) + "}");
    }

    private static String text(HttpServletRequest request, String attribute) {
        Object value = request.getAttribute("jakarta.servlet.request." + attribute);
        return value == null ? null : value.toString();
    }

    /** What the token says, once Nimbus has verified it by the set of keys at the address in `keys`. */
    private static void token(HttpServletRequest request, HttpServletResponse response) throws IOException {
        try {
            SignedJWT token = SignedJWT.parse(request.getHeader("Mutualgate-Jwt"));
            JWKSet keys = JWKSet.load(URI.create(request.getParameter("keys")).toURL());
            ECKey key = keys.getKeyByKeyId(token.getHeader().getKeyID()).toECKey();
            boolean good = token.verify(new ECDSAVerifier(key)) && new Date().before(token.getJWTClaimsSet().getExpirationTime());
            json(response, "{\"good\":" + good + ",\"claims\":" + token.getJWTClaimsSet() + "}");
        } catch (Exception e) {
            throw new IOException(e);
        }
    }

    private static void sleep(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void json(HttpServletResponse response, String body) throws IOException {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        response.setContentType("application/json");
        response.setContentLength(bytes.length);
        response.getOutputStream().write(bytes);
    }

    private static String quote(String text) {
        if (text == null) {
            return "null";
        }
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < ' ' || c > '~') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }
}
