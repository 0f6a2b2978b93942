<?php
// client.php CLIENT URL: gets URL with one of PHP's ways to do so and prints the body.
[, $client, $url] = $argv;

function inFunction($url)
{
    $stream = fopen($url, 'r', false, stream_context_create(['http' => ['header' => "X-Own: 1\r\n", 'timeout' => 5]]));
    $headers = stream_get_meta_data($stream)['wrapper_data'];
    if (strpos($headers[0], '200') === false || count($headers) < 2) throw new Exception('no headers');
    return stream_get_contents($stream);
}

function curl($url)
{
    $handle = curl_init($url);
    curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
    $body = curl_exec($handle);
    if ($body === false) throw new Exception(curl_error($handle));
    return $body;
}

function dom($url)
{
    $document = new DOMDocument();
    $document->loadHTMLFile($url);
    return trim($document->textContent);
}

switch ($client) {
    case 'contents': $body = file_get_contents($url); break;
    case 'headers': $body = file_get_contents($url); if (strpos($http_response_header[0], '200') === false) exit(1); break;
    case 'post': $body = file_get_contents($url, false, stream_context_create(['http' => ['method' => 'POST', 'header' => "X-Test: 1\r\nContent-Type: text/plain", 'content' => 'hello']])); break;
    case 'context': $body = inFunction($url); break;
    case 'own proxy': $body = file_get_contents($url, false, stream_context_create(['http' => ['proxy' => str_replace('http', 'tcp', getenv('HTTPS_PROXY'))]])); break;
    case 'copy': copy($url, 'copied'); $body = file_get_contents('copied'); break;
    case 'twice': file_get_contents($url); $body = file_get_contents($url); break;
    default: $body = $client($url);
}
if ($body === false) exit(1);
echo $body, "\n";
