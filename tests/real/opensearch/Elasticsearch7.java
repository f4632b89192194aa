import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.transport.Netty4Plugin;

/** One node of Elasticsearch 7 in this process: its jars are on Maven Central, its start script is not. */
public final class Elasticsearch7 extends Node {
    private Elasticsearch7(Environment environment) {
        super(environment, List.of(Netty4Plugin.class), false);
    }

    /** Arguments: the home folder, the HTTP port. */
    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Path config = Files.createDirectories(home.resolve("config"));
        Settings settings =
                Settings.builder()
                        .put("path.home", home)
                        .put("http.port", arguments[1])
                        .put("http.max_content_length", "8mb")
                        .put("network.host", "127.0.0.1")
                        .put("discovery.type", "single-node")
                        .put("cluster.name", "sunbird-test")
                        .put("cluster.routing.allocation.disk.threshold_enabled", false)
                        .build();
        Environment environment =
                InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), config, () -> "test");
        Node node = new Elasticsearch7(environment);
        node.start();
        Thread.currentThread().join();
    }
}
