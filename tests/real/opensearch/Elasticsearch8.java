import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * One node of Elasticsearch 8 in this process. The only module on Maven Central is the HTTP
 * transport, so this node has neither GET / nor data streams.
 */
public final class Elasticsearch8 {
    private static final List<String> LIBRARIES = List.of("netty-", "transport-netty4", "elasticsearch-ssl");
    private static final String DESCRIPTOR =
            """
            name=transport-netty4
            description=HTTP
            version=%1$s
            elasticsearch.version=%1$s
            java.version=17
            classname=org.elasticsearch.transport.netty4.Netty4Plugin
            """;

    private Elasticsearch8() {}

    /** Arguments: the home folder, the HTTP port, the version, the folder with the transport's jars. */
    public static void main(String[] arguments) throws Exception {
        LogConfigurator.configureESLogging();
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Path config = Files.createDirectories(home.resolve("config"));
        Files.createDirectories(home.resolve("plugins"));
        makeModule(home.resolve("modules/transport-netty4"), arguments[2], Path.of(arguments[3]));
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
        PluginsLoader plugins =
                PluginsLoader.createPluginsLoader(
                        PluginsLoader.loadModulesBundles(environment.modulesDir()),
                        PluginsLoader.loadPluginsBundles(environment.pluginsDir()),
                        Map.of(),
                        false);
        new Node(environment, plugins).start();
        Thread.currentThread().join();
    }

    private static void makeModule(Path module, String version, Path jars) throws Exception {
        Files.createDirectories(module);
        try (Stream<Path> found = Files.list(jars)) {
            for (Path jar : (Iterable<Path>) found::iterator) {
                String name = jar.getFileName().toString();
                if (LIBRARIES.stream().anyMatch(name::startsWith)) {
                    Files.copy(jar, module.resolve(name));
                }
            }
        }
        Files.writeString(module.resolve("plugin-descriptor.properties"), DESCRIPTOR.formatted(version));
    }
}
