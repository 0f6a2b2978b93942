# Fetches https://git.test/echo by the means that it is told, none of which uses a proxy.
url = "https://git.test/echo"
case ARGV[0]
when "net-http"
  require "net/http"
  Net::HTTP.start("git.test", 443, nil, use_ssl: true) { |http| puts http.get("/echo").body }
when "openssl"
  require "openssl"
  require "socket"
  context = OpenSSL::SSL::SSLContext.new
  context.set_params
  socket = OpenSSL::SSL::SSLSocket.new(TCPSocket.new("git.test", 443), context)
  socket.hostname = "git.test"
  socket.connect
  socket.post_connection_check("git.test")
  socket.write("GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n")
  puts socket.read
when "open-uri"
  require "open-uri"
  puts URI.parse(url).open(proxy: false).read
when "excon"
  require "excon"
  puts Excon.get(url, proxy: nil).body
when "http"
  require "http"
  puts HTTP.get(url).to_s
when "httpclient"
  require "httpclient"
  puts HTTPClient.new(nil).tap { |client| client.ssl_config.set_default_paths }.get_content(url)
end
