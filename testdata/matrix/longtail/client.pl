# Fetches https://git.test/echo by the means that it is told, none of which uses a proxy.
use strict;
use warnings;
my $url = 'https://git.test/echo';
my $request = "GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n";
my %means = (
	socket => sub {
		require IO::Socket::SSL;
		my $socket = IO::Socket::SSL->new(PeerAddr => 'git.test:443', SSL_hostname => 'git.test') or die "connect: $!, @{[IO::Socket::SSL::errstr()]}\n";
		print $socket $request;
		print while <$socket>;
	},
	lwp => sub {
		require LWP::UserAgent;
		my $answer = LWP::UserAgent->new(env_proxy => 0)->get($url);
		die $answer->status_line . "\n" . $answer->content unless $answer->is_success;
		print $answer->content;
	},
	tiny => sub {
		require HTTP::Tiny;
		my $answer = HTTP::Tiny->new(verify_SSL => 1, proxy => undef, https_proxy => undef)->get($url);
		die $answer->{content} unless $answer->{success};
		print $answer->{content};
	},
	mojo => sub {
		require Mojo::UserAgent;
		print Mojo::UserAgent->new->get($url)->result->body;
	},
	anyevent => sub {
		require AnyEvent::HTTP;
		my $done = AnyEvent->condvar;
		AnyEvent::HTTP::http_get($url, proxy => undef, tls_ctx => 'high', sub { $done->send(@_) });
		my ($body, $head) = $done->recv;
		die "$head->{Status} $head->{Reason}\n" if $head->{Status} != 200;
		print $body;
	},
);
$means{$ARGV[0]}->();
