package io.lowbit.llm;

import java.io.IOException;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.SocketAddress;
import java.net.URI;
import java.net.URL;
import java.net.URLConnection;
import java.net.URLStreamHandler;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;

/** Main class of a JVM of its own: loads the tokenizer with every way to the network trapped, and tells who tried one. */
public final class NetworkProbe {
    private static final Set<String> TRIED = new ConcurrentSkipListSet<>();

    private NetworkProbe() {}

    public static void main(String[] args) {
        URL.setURLStreamHandlerFactory(protocol -> protocol.startsWith("http") || protocol.equals("ftp") ? new Trap() : null);
        // sockets and java.net.http ask it before they connect
        ProxySelector.setDefault(new ProxySelector() {
            @Override
            public List<Proxy> select(URI uri) {
                TRIED.add(uri.toString());
                throw new IllegalArgumentException("no way to " + uri);
            }

            @Override
            public void connectFailed(URI uri, SocketAddress address, IOException e) {}
        });
        try (TextTokenizer tokenizer = TextTokenizer.load(Models.DEMO)) {
            System.out.println("tokens " + tokenizer.encode("Call me Ishmael.").length);
        }
        TRIED.forEach(address -> System.out.println("tried " + address));
    }

    private static final class Trap extends URLStreamHandler {
        @Override
        protected URLConnection openConnection(URL url) throws IOException {
            TRIED.add(url.toString());
            throw new IOException("no way to " + url);
        }

        @Override
        protected URLConnection openConnection(URL url, Proxy proxy) throws IOException {
            return openConnection(url);
        }
    }
}
