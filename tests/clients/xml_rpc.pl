# Runs the calls that stdin lists by Frontier::Client, and prints what each gave. See http_clients.rs.
use strict;
use warnings;
use Frontier::Client;
use JSON::PP;
use MIME::Base64;

my $json = JSON::PP->new->utf8;
my %clients;

sub typed {
    my ($client, $value) = @_;
    return $client->boolean($value ? 1 : 0) if JSON::PP::is_bool($value);
    return $client->base64(encode_base64($value->{base64})) if ref $value eq 'HASH' && exists $value->{base64};
    return $value if ref $value || $json->encode([$value]) !~ /"/;
    # By itself Frontier::Client takes text of digits for a number, and cannot send characters above U+FFFF.
    utf8::encode($value);
    return $client->string($value);
}

# What came, with text for all scalars.
sub plain {
    my ($value) = @_;
    return [map { plain($_) } @$value] if ref $value eq 'ARRAY';
    return { map { $_ => plain($value->{$_}) } keys %$value } if ref $value eq 'HASH';
    return ref $value ? $value->value . '' : "$value";
}

sub of_several {
    my ($result) = @_;
    return { value => plain($result->[0]) } if ref $result eq 'ARRAY';
    return { fault => [$result->{faultCode} + 0, $result->{faultString} . ''] };
}

sub run {
    my ($call) = @_;
    my $client = $clients{ $call->{url} } //= Frontier::Client->new(url => $call->{url}, encoding => 'UTF-8');
    my $result = eval {
        if (!$call->{several}) {
            my $params = $call->{params};
            return { value => plain($client->call($call->{method}, map { typed($client, $_) } @$params)) };
        }
        my @calls = map {
            { methodName => $_->{method}, params => [map { typed($client, $_) } @{ $_->{params} }] }
        } @{ $call->{several} };
        return { several => [map { of_several($_) } @{ $client->call('system.multicall', \@calls) }] };
    };
    return $result if $result;
    return { fault => [$1 + 0, $2] } if $@ =~ /^Fault returned from XML RPC Server, fault code (-?\d+): (.*)\n/s;
    return { error => $@ };
}

local $/;
print $json->encode([map { run($_) } @{ $json->decode(<STDIN>) }]), "\n";
