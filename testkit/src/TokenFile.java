import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerExtensionsValidatorCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/** Takes tokens in the form that Managed Service for Apache Kafka does, if the access token within is the one in a file. For tests only. */
public class TokenFile implements AuthenticateCallbackHandler {
    private record Token(String value, long lifetimeMs, String principalName) implements OAuthBearerToken {
        @Override
        public Set<String> scope() {
            return Set.of();
        }

        @Override
        public Long startTimeMs() {
            return null;
        }
    }

    private Path file;

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
        file = Path.of((String) entries.get(0).getOptions().get("file"));
    }

    @Override
    public void close() {}

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerValidatorCallback validator) {
                validate(validator);
            } else if (callback instanceof OAuthBearerExtensionsValidatorCallback extensions) {
                extensions.inputExtensions().map().keySet().forEach(extensions::valid);
            } else {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    private void validate(OAuthBearerValidatorCallback callback) {
        try {
            String[] parts = callback.tokenValue().split("\\.");
            String claims = decode(parts[1]);
            long expires = Long.parseLong(claims.replaceAll(".*\"exp\":(\\d+).*", "$1")) * 1000;
            String subject = claims.replaceAll(".*\"sub\":\"([^\"]*)\".*", "$1");
            boolean known = decode(parts[2]).equals(Files.readString(file).trim());
            if (decode(parts[0]).contains("GOOG_OAUTH2_TOKEN") && known && expires > System.currentTimeMillis()) {
                callback.token(new Token(callback.tokenValue(), expires, subject));
                return;
            }
        } catch (Exception malformed) {
            // Refused below.
        }
        callback.error("invalid_token", null, null);
    }

    private static String decode(String part) {
        return new String(Base64.getUrlDecoder().decode(part), StandardCharsets.UTF_8);
    }
}
