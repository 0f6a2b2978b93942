# Loaded into Ruby with -r, so that Net::HTTP reaches HTTPS_PROXY: by itself it reads only http_proxy, even for https.
#
# A Net::HTTP that takes its proxy from the environment asks URI#find_proxy for the one of https targets, as open-uri does;
# NO_PROXY and loopback are its business. An explicit proxy, or an explicit nil, is kept, and so is everything about TLS.
# Bundler takes its proxy from the environment by code of its own and gets the same.
#
# net/http is not loaded here: Kernel#require looks for it until somebody has. (Redefined and not prepended, because a
# prepended one and the alias that zeitwerk and bootsnap make would call each other for ever.)
#
# Limits: http.rb, excon and others that are no Net::HTTP read variables of their own, and so does net-http-persistent
# outside Bundler; Bundler's http:// sources go to the proxy too; the backtrace of a file that cannot be required has a line
# of ours.
return if defined?(::AgentproxyPreload) # another version of this file, of an outer run

module AgentproxyPreload
  PROXY = [ENV['https_proxy'], ENV['HTTPS_PROXY']].find { |url| url && !url.empty? }

  def self.uri
    defined?(::URI::HTTPS) ? ::URI : ::Gem::URI
  end

  module Http
    def proxy_uri
      return super unless use_ssl?
      @agentproxy_uri = AgentproxyPreload.uri::HTTPS.new('https', nil, address, port, nil, nil, nil, nil, nil).find_proxy || false if @agentproxy_uri.nil?
      @agentproxy_uri || super
    end

    def connect
      super
    rescue StandardError => e
      raise unless @agentproxy_uri
      raise e.class.new("agentproxy refused CONNECT #{address}:#{port}: #{e.message}", e.response) if e.respond_to?(:response)
      raise unless e.is_a?(Errno::ECONNREFUSED)
      raise e.class, "the proxy of agentproxy at http://#{proxy_address}:#{proxy_port} is not reachable"
    end
    private :connect
  end

  module Persistent
    def proxy_from_env
      super || AgentproxyPreload.uri.parse(PROXY).tap { |proxy| proxy.query = "no_proxy=#{ENV['no_proxy'] || ENV['NO_PROXY']}" }
    end
  end

  # Patches what is loaded and not patched, and returns whether nothing more can come.
  def self.done?
    patch(::Net::HTTP, Http, :proxy_uri) if defined?(::Net::HTTP)
    patch(::Gem::Net::HTTP, Http, :proxy_uri) if defined?(::Gem::Net::HTTP)
    patch(::Gem::Net::HTTP::Persistent, Persistent, :proxy_from_env) if defined?(::Gem::Net::HTTP::Persistent)
    patch(::Bundler::Persistent::Net::HTTP::Persistent, Persistent, :proxy_from_env) if defined?(::Bundler::Persistent::Net::HTTP::Persistent)
    defined?(::Net::HTTP) && ::Net::HTTP < Http && !defined?(::Bundler)
  rescue StandardError
    true # a version that we do not know
  end

  def self.patch(target, with, method)
    # While its file is being loaded, a class has not got all its methods yet.
    target.prepend(with) if !(target < with) && (target.method_defined?(method) || target.private_method_defined?(method))
  end

  def self.required
    @waiting = !done? if @waiting && !(defined?(::Ractor) && ::Ractor.current != ::Ractor.main)
  rescue StandardError
    nil # what a version that we do not know says to it
  end

  # Who looks for the caller of a required file (sinatra does, and "warn" with uplevel) skips frames of such a name. It is a
  # method by its text and not by a block, which no Ractor but the first could call.
  def self.wait
    @waiting = true
    Kernel.module_eval(<<~'RUBY', '<internal:agentproxy_preload>', 1)
      alias_method :agentproxy_original_require, :require
      private :agentproxy_original_require
      def require(path)
        loaded = agentproxy_original_require(path)
        AgentproxyPreload.required
        loaded
      end
      private :require
    RUBY
  end

  begin
    wait if PROXY && RUBY_VERSION >= '2.7' && !done?
  rescue StandardError
    # The program runs as without us.
  end
end
