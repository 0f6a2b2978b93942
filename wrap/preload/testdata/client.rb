# client.rb CLIENT URL: gets URL with one of Ruby's ways to do so and prints the body.
client, url = ARGV
uri = nil
clients = {
  'get' => -> { require 'net/http'; Net::HTTP.get(URI(url)) },
  'start' => -> { require 'net/https'; uri = URI(url); Net::HTTP.start(uri.host, uri.port, use_ssl: true) { |http| 2.times.map { http.get('/').body }.last } },
  'open-uri' => -> { require 'open-uri'; URI.open(url).read },
  'autoload' => -> { Object.autoload(:Net, 'net/http'); Net::HTTP.get(URI(url)) },
  'faraday' => -> { require 'faraday'; Faraday.get(url).body },
  'faraday env' => -> { require 'faraday'; Faraday.new(url, proxy: ENV['HTTPS_PROXY']).get.body },
  'explicit' => -> { require 'net/http'; p = URI(ENV['HTTPS_PROXY']); Net::HTTP.start(URI(url).host, 443, p.host, p.port, use_ssl: true) { |http| http.get('/').body } },
  'nil' => -> { require 'net/http'; Net::HTTP.start(URI(url).host, 443, nil, use_ssl: true) { |http| http.get('/').body } },
  # As zeitwerk and others wrap it, before and after it is used.
  'alias' => -> {
    Kernel.module_eval { alias_method :their_require, :require; define_method(:require) { |path| their_require(path) } }
    require 'net/http'
    require 'set'
    Net::HTTP.get(URI(url))
  },
}
puts clients.fetch(client).call
