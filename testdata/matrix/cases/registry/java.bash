# Both HTTP clients of every JDK on the machine fetch a document
# needs: java npm
cat >Fetch.java <<'END'
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import javax.net.ssl.HttpsURLConnection;

class Fetch {
    public static void main(String[] args) throws Exception {
        var uri = URI.create(args[0]);
        var connection = (HttpsURLConnection) uri.toURL().openConnection();
        try (var in = connection.getInputStream()) {
            report("HttpsURLConnection", new String(in.readAllBytes()));
        }
        var response = HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString());
        report("HttpClient", response.body());
    }

    static void report(String client, String body) {
        System.out.println(client + " " + body.contains("\"is-number\""));
    }
}
END
for java in $(readlink -f "$(command -v java)" /usr/lib/jvm/*/bin/java | sort -u); do
	"$java" -version
	prints $'HttpsURLConnection true\nHttpClient true' behind "$java" Fetch.java "$(npm_registry)is-number"
	version=$("$java" -version 2>&1 | sed -n '1s/.*"\(.*\)".*/\1/p')
	works java-HttpClient "$version"
	works java-HttpsURLConnection "$version"
	diagnose "$java" 'java-*'
done
