package rules

import (
	"maps"
	"slices"
)

// phrases are what patterns of rules may name in braces, so that a contributor
// need not know how every library words the same thing, nor how URLs are
// taken apart.
var phrases = map[string]string{
	// Places. Their groups feed the conditions of a rule, and the verdict.
	"url":   `https?://(?:[^/\s"'@]*@)?(?P<host>[^/\s:"'\\@?,;)>]+)(?::(?P<port>\d+))?[^\s"'\\<>]*`,
	"https": `https://(?:[^/\s"'@]*@)?(?P<host>[^/\s:"'\\@?,;)>]+)(?::(?P<port>\d+))?[^\s"'\\<>]*`,
	"http":  `http://(?:[^/\s"'@]*@)?(?P<host>[^/\s:"'\\@?,;)>]+)(?::(?P<port>\d+))?[^\s"'\\<>]*`,
	"asked": `https?://(?:[^/\s"'@]*@)?(?P<asked>[^/\s:"'\\@?,;)>]+)[^\s"'\\<>]*`,
	"host":  `\[?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*[A-Za-z0-9]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)\]?`,
	"port":  `(?P<port>\d{1,5})`,

	// What systems and libraries say, in the languages that they speak.
	"refused": `(?i:connection refused|\beconnrefused\b|connection was refused|ConnectionRefused|(?-i:ECONNREFUSED)|actively refused|refused the connection|refused to connect` +
		`|Verbindungsaufbau abgelehnt|Connexion refus|Conexi.{1,2}n rehusada|Connessione rifiutata|Conex.{1,2}o recusada|接続を拒否|拒绝连接|отказано в соединении|в соединении отказано)`,
	"unresolved": `(?i:could ?n.t resolve host|could not resolve (?:host|address|name\b|'|")|unable to resolve (?:host|address|name|server|')|cannot resolve (?:host|address|name\b|')|failed to resolve (?:host|address|name\b|')|name or service not known|name does not resolve|temporary failure in name resolution|temporary failure resolving` +
		`|nodename nor servname|no such host|host not found|(?-i:ENOTFOUND)|(?-i:EAI_AGAIN)|UnknownHostException|unknown host:? '?[\w-]+(?:\.[\w-]+)+|unknown host \(|getaddrinfo failed|failed to lookup address|\bdns error\b|NameResolutionError|nxdomain|server misbehaving` +
		`|ERR_NAME_NOT_RESOLVED|no address associated with|name resolution failed|DNS lookup failed|\bUnknownHostName\b|could not lookup|failed to look up host|remote name could not be resolved|DNSResolveFailed|UnresolvedAddress|lookup \S+ on \S+: .*?timeout|unable to locate remote host|failed to get an IP address for|no address for \S+ \(Resolv|\bhost [\w-]+(?:\.[\w-]+)+ not found|\b595 No such device or address|IO::Socket::IP configuration failed` +
		`|Der Name oder der Dienst ist nicht bekannt|Nom ou service inconnu|Nombre o servicio desconocido|Nome o servizio sconosciuto|Nome ou servi.{1,2}o desconhecido|名前またはサービス|未知的名称或服务|Имя или служба не известны` +
		`|Tempor.{1,2}rer Fehler bei der Namensaufl|Échec temporaire dans la résolution|Fallo temporal en la resoluci)`,
	// curl's words for refused and for timed out alike are in neither.
	"noconnect": `(?i:connection refused|\beconnrefused\b|(?-i:ECONNREFUSED)|could ?n.t connect to server|could not connect to server|Verbindungsaufbau abgelehnt|Connexion refus|Conexi.{1,2}n rehusada|Connessione rifiutata|Conex.{1,2}o recusada|接続を拒否|拒绝连接|отказано в соединении|в соединении отказано)`,
	"timeout": `(?i:connection timed out|(?-i:ETIMEDOUT)|timed out|i/o timeout|timeout was reached|connect timeout|operation timed out|connection timeout|deadline exceeded|network is unreachable|network unreachable|(?-i:ENETUNREACH)|no route to host|(?-i:EHOSTUNREACH)` +
		`|Die Wartezeit f.{1,2}r die Verbindung|Connexion termin.{1,2}e par expiration|Expir.{1,2} el tiempo de conexi|连接超时|接続がタイムアウト|Время ожидания соединения)`,
	"reset": `(?i:connection reset|connection was reset|(?-i:ECONNRESET)|connection aborted|connection was closed|unexpected EOF|unexpectedly closed|reset by peer|closed connection|premature(?:ly)? (?:end|EOF|close)|Connexion ré-initialisée|Verbindung.+?zurückgesetzt)`,
	// What is said of a certificate that ends in no known root.
	"untrusted": `(?i:self[- ]signed certificate\b|unable to get local issuer certificate|unable to get issuer certificate|unable to verify the first certificate|unable to locally verify the issuer|unknown authority|UnknownIssuer|unknown issuer|issuer is unknown|issuer is not trusted|alert:? ?(?:number 48|unknown CA\b)|Fatal - Unknown CA|Fatal error: unknown ca|has unknown CA\b|unknown_ca\b|certificate is not trusted|certificate not trusted|certificate was not trusted|certificate is untrusted|verification: Not trusted|signer-not-found|not signed by known authorities|issuer is not known|CertificateIssuerNotFound|BADCERT_NOT_TRUSTED|certificate .*?unknown CA\b|is NOT trusted|not trusted by` +
		`|unable to find valid certification path|PKIX path building failed|Trust anchor for certification path not found|SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY_LEAF|DEPTH_ZERO_SELF|CERT_UNTRUSTED|CERT_AUTHORITY_INVALID|SEC_ERROR_UNKNOWN_ISSUER|SEC_ERROR_UNTRUSTED|SEC_E_UNTRUSTED_ROOT|CERT_E_UNTRUSTEDROOT|PartialChain|UntrustedRoot|untrusted root|root certificate is not trusted|authority that is not trusted|doesn.t have a known issuer|peer cert untrusted|issuer is not recognized|selfsigned_peer|CaUsedAsEndEntity|ASN no signer error|no trusted certificate found|trusted CA certificate not found|not correctly signed by the trusted)`,
	// What is wrong with one that trust would not mend.
	"invalid": `(?i:certificate has expired|certificate expired|expired certificate|certificate is expired|CERT_HAS_EXPIRED|CertExpired|cert_expired|CertificateExpired|invalid peer certificate: Expired|certificate is not yet valid|certificate not yet valid|not yet activated|NotValidYet|CERT_NOT_YET_VALID|CertificateNotYetValid|NotTimeValid|CERT_DATE_INVALID|SEC_ERROR_EXPIRED|SEC_E_CERT_EXPIRED|certificate expired at|certificate \S+ (?:has )?expired|validity check failed|timestamp check failed` +
		`|host ?name mismatch|name mismatch|certificate is for [\w*]\S*\.|doesn.t match '|bad_cert,\s*hostname_check_failed|host ?name ['"‘].*?(?:does ?n.t|does not) match|(?:does ?n.t|does not) match (?:target |requested )?host ?name|(?:does ?n.t|does not) match the expected|did not match expected CN|different hostname|ALTNAME_INVALID|certificate's altnames|alternative certificate subject name|alternative names? (?:does|do|did|match)|no name matching|no subject alternative (?:DNS )?names? |hostname .+? not verified|NotValidForName|\[NameMismatch|rejected: \[(?:Expired|InFuture)|hostname verification failed|match any of the subject alternative|not valid for (?:name|any names)|is valid for .+?, not|any IP SANs|CERT_COMMON_NAME_INVALID|RemoteCertificateNameMismatch|BAD_CERT_DOMAIN|SEC_E_WRONG_PRINCIPAL` +
		`|Authority Key Identifier|does not include key usage|not marked critical|key usage does not|invalid CA certificate|is not a CA certificate|keyCertSign|key too small|md too weak|legacy Common Name|certificate has been revoked|certificate revoked|CERT_REVOKED|unable to check revocation|revocation (?:status|check|server|list).*?(?:fail|offline|unknown|unavailable)|REUSED_ISSUER_AND_SERIAL)`,
}

func phraseNames() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(phrases)) {
		names = append(names, "{"+name+"}")
	}
	return names
}
