import java.net.Proxy;
import java.net.ProxySelector;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/** Fetches https://git.test/echo by the means that it is told, none of which uses a proxy. */
class Client {
    static final URI ADDRESS = URI.create("https://git.test/echo");

    public static void main(String[] args) throws Exception {
        System.out.println(switch (args[0]) {
            case "socket" -> socket();
            case "client" -> HttpClient.newBuilder().proxy(ProxySelector.of(null)).build()
                .send(HttpRequest.newBuilder(ADDRESS).build(), BodyHandlers.ofString()).body();
            case "connection" -> new String(ADDRESS.toURL().openConnection(Proxy.NO_PROXY).getInputStream().readAllBytes());
            default -> throw new IllegalArgumentException(args[0]);
        });
    }

    static String socket() throws Exception {
        var plain = new Socket(Proxy.NO_PROXY);
        plain.connect(new java.net.InetSocketAddress("git.test", 443));
        try (var socket = (SSLSocket) ((SSLSocketFactory) SSLSocketFactory.getDefault()).createSocket(plain, "git.test", 443, true)) {
            var parameters = new SSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            socket.setSSLParameters(parameters);
            socket.getOutputStream().write("GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n".getBytes());
            return new String(socket.getInputStream().readAllBytes());
        }
    }
}
