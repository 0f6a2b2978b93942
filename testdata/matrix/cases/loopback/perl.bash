# LWP, which reads variables of its own, and HTTP::Tiny
# needs: perl lwp-request
start_origin
URL=https://git.test/echo
lwp=$(perl -MLWP -e 'print LWP->VERSION')
# shellcheck disable=SC2016 # the dollars are Perl's
{
	get='print LWP::UserAgent->new(@ARGV)->get("https://git.test/echo")->content'
	client perl-LWP-default "$lwp" perl -MLWP::UserAgent -e "$get"
	client perl-LWP-env_proxy "$lwp" perl -MLWP::UserAgent -e "$get" env_proxy 1
	client perl-lwp-request "$lwp" lwp-request $URL
	client perl-HTTP::Tiny "$(perl -MHTTP::Tiny -e 'print HTTP::Tiny->VERSION')" \
		perl -MHTTP::Tiny -e 'print HTTP::Tiny->new(verify_SSL => 1)->get(shift)->{content}' $URL
}
diagnose perl 'perl-*'
