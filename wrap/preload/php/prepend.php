<?php
// Run before a PHP script, by the auto_prepend_file of the ini file beside it, so that streams reach HTTPS_PROXY.
//
// PHP's https:// streams (file_get_contents, fopen, copy, DOM, a SoapClient's WSDL) know a proxy only by their context. A
// default context would send http:// to the proxy too and does not reach calls with a context of their own, so this is a
// wrapper: it opens the real https:// stream with the proxy in its context, unless one is set or NO_PROXY names the host.
// Verification and its roots stay what context and ini say.
//
// Limits: $http_response_header is set for callers outside functions only (PHP 8.4 has a function for it); a redirect to
// http:// goes to the proxy; ssl:// sockets and a SoapClient's calls are not reached; a failure's reason is in the warning
// of an "fopen" before that of the caller's function, which names this class; get_included_files lists this file, behind
// the script; an open_basedir must have it in it.
if (!class_exists('AgentproxyPreload', false)) {
    // As an array it holds the response's headers, for stream_get_meta_data.
    final class AgentproxyPreload extends ArrayObject
    {
        public $context;
        private $stream;
        /** The proxy's "host:port", and the header line with its credentials or ''. */
        private static $proxy, $authorization = '';
        /** The auto_prepend_file that the user's ini files name, or ''. */
        public static $theirs = '';

        public static function install(): void
        {
            self::$theirs = self::theirs();
            $url = getenv('https_proxy') ?: getenv('HTTPS_PROXY') ?: '';
            $parts = parse_url(strpos($url, '://') ? $url : "http://$url");
            if (empty($parts['host']) || $parts['scheme'] !== 'http' || !in_array('https', stream_get_wrappers(), true)) return;
            self::$proxy = $parts['host'] . ':' . ($parts['port'] ?? 80);
            $login = rawurldecode($parts['user'] ?? '') . ':' . rawurldecode($parts['pass'] ?? '');
            if ($login !== ':') self::$authorization = 'Proxy-Authorization: Basic ' . base64_encode($login) . "\r\n";
            self::take();
        }

        private static function take(): void
        {
            stream_wrapper_unregister('https');
            stream_wrapper_register('https', self::class, STREAM_IS_URL);
        }

        private static function theirs(): string
        {
            $theirs = '';
            foreach (array_merge([php_ini_loaded_file()], explode(',', (string) php_ini_scanned_files())) as $file) {
                $file = trim((string) $file);
                if ($file === '' || dirname($file) === __DIR__) continue;
                $ini = (string) @file_get_contents($file);
                if (preg_match_all('/^\s*auto_prepend_file\s*=\s*(?|"([^"]*)"|\'([^\']*)\'|([^;\r\n]*))/mi', $ini, $found)) $theirs = trim(end($found[1]));
            }
            return strtolower($theirs) === 'none' ? '' : $theirs;
        }

        private static function isDirect(string $host, int $port): bool
        {
            if ($host === 'localhost' || $host === '::1' || substr($host, -10) === '.localhost' || strpos($host, '127.') === 0) return true;
            foreach (preg_split('/[\s,]+/', strtolower(getenv('no_proxy') ?: getenv('NO_PROXY') ?: ''), -1, PREG_SPLIT_NO_EMPTY) as $entry) {
                preg_match('/^(?:\[(.*)\]|([^:]*|.*:.*:.*?))(?::(\d+))?$/', $entry, $part);
                $name = preg_replace('/^\*?\./', '', ($part[1] ?? '') ?: ($part[2] ?? ''));
                if (!empty($part[3]) && (int) $part[3] !== $port) continue;
                if ($name === '*' || $name === $host || ($name !== '' && substr($host, -strlen(".$name")) === ".$name")) return true;
            }
            return false;
        }

        public function stream_open(string $path, string $mode, int $options): bool
        {
            $context = $this->context ?? stream_context_get_default();
            $set = stream_context_get_options($context);
            $url = parse_url($path);
            $host = strtolower(trim($url['host'] ?? '', '[]'));
            $port = $url['port'] ?? 443;
            $tunnelled = $host !== '' && !isset($set['http']['proxy']) && !self::isDirect($host, $port);
            if ($tunnelled) {
                $set['http']['proxy'] = 'tcp://' . self::$proxy;
                if (self::$authorization !== '') { // PHP sends this header with CONNECT, and not to the origin
                    $header = $set['http']['header'] ?? '';
                    $set['http']['header'] = self::$authorization . (is_array($header) ? implode("\r\n", $header) : $header);
                }
                $context = stream_context_create($set, array_diff_key(stream_context_get_params($context), ['options' => 0]));
            }
            get_defined_vars(); // from now on a local of any name can be set here, as fopen does where PHP 8.5 deprecates its name
            stream_wrapper_restore('https');
            try {
                $this->stream = fopen($path, $mode, false, $context); // an @ of the caller's holds for its warnings too
            } finally {
                self::take();
            }
            $headers = (function_exists('http_get_last_response_headers') ? http_get_last_response_headers() : get_defined_vars()['http_response_header'] ?? null) ?? [];
            if (!$this->stream && !$headers && $tunnelled && error_reporting() & E_USER_WARNING) self::explain((strpos($host, ':') !== false ? "[$host]" : $host) . ":$port");
            $this->exchangeArray($headers);
            $outer = array_column(array_slice(debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS), 2), 'function');
            if (!array_diff($outer, ['include', 'include_once', 'require', 'require_once'])) $GLOBALS['http_response_header'] = $headers;
            return (bool) $this->stream;
        }

        /** PHP says the same of every failure behind a proxy, so the proxy is asked once more, for its reason. */
        private static function explain(string $target): void
        {
            $socket = @stream_socket_client('tcp://' . self::$proxy, $code, $why, 5);
            if (!$socket) {
                trigger_error('the proxy of agentproxy at http://' . self::$proxy . " is not reachable: $why", E_USER_WARNING);
                return;
            }
            stream_set_timeout($socket, 5);
            fwrite($socket, "CONNECT $target HTTP/1.1\r\nHost: $target\r\n" . self::$authorization . "\r\n");
            $answer = explode(' ', trim((string) fgets($socket)), 2);
            if (($answer[1][0] ?? '') !== '2') trigger_error("agentproxy refused CONNECT $target: " . ($answer[1] ?? 'no answer'), E_USER_WARNING);
        }

        public function stream_read(int $count) { return fread($this->stream, $count); }
        public function stream_write(string $data) { return fwrite($this->stream, $data); }
        public function stream_eof(): bool { return feof($this->stream); }
        public function stream_stat() { return fstat($this->stream); }
        public function stream_cast(int $as) { return $this->stream; }
        public function stream_close(): void { fclose($this->stream); }

        /** PHP's own wrapper has no such thing, and so libxml opens what it would else ask for first. */
        public function url_stat(string $path, int $flags)
        {
            $asks = debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS, 2)[1] ?? [];
            return preg_match('/^(DOM|XML|XSL|Soap|SimpleXML)/i', $asks['class'] ?? $asks['function'] ?? '') ? ['mode' => 0100444, 'size' => 0] : false;
        }

        public function stream_set_option(int $option, int $first, ?int $second): bool
        {
            if ($option === STREAM_OPTION_BLOCKING) return stream_set_blocking($this->stream, (bool) $first);
            return $option === STREAM_OPTION_READ_TIMEOUT && stream_set_timeout($this->stream, $first, (int) $second);
        }
    }
    AgentproxyPreload::install();
    if (AgentproxyPreload::$theirs !== '') require AgentproxyPreload::$theirs;
}
