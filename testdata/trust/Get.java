import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.URL;

/** Fetches a URL through a proxy with the JVM's own roots: Get PORT URL. */
public class Get {
    public static void main(String[] args) throws Exception {
        Proxy proxy = new Proxy(Proxy.Type.HTTP, new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
        try (InputStream in = new URL(args[1]).openConnection(proxy).getInputStream()) {
            in.transferTo(System.out);
        }
    }
}
