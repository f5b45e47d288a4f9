import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

/** Serves with the JDK's own HTTP server. */
public class Echo {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv("PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes(); // {"text": …}: sent back as it came
            if (exchange.getRequestMethod().equals("GET"))
                body = ("{\"text\": \"" + System.getenv("GREETING") + "\"}").getBytes("UTF-8");
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
